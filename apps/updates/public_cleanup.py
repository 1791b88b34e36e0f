"""Removing releases, artifacts and what nothing uses, as REST and RPC offer it."""

from apps.core.actors import Actor
from apps.core.public import id_of, operation
from apps.updates.messages import artifact_message
from apps.updates.permissions import CLEAN_UP_STORAGE, DELETE_ARTIFACT, DELETE_RELEASE
from apps.updates.selectors import cleanup
from apps.updates.services import artifacts
from apps.updates.services import cleanup as services
from fleetd.pb.public.v1 import fleet_pb2 as pb


@operation(DELETE_ARTIFACT)
def delete_artifact(actor: Actor, request: pb.DeleteArtifactRequest) -> pb.DeleteArtifactResponse:
    """Deletes an artifact that no release names, and its file."""
    artifacts.delete_artifact(actor, id_of(request.id))
    return pb.DeleteArtifactResponse()


@operation(DELETE_RELEASE)
def delete_release(actor: Actor, request: pb.DeleteReleaseRequest) -> pb.DeleteReleaseResponse:
    """Removes a release that nothing uses; of one with a history only the files."""
    services.delete_release(actor, id_of(request.id))
    return pb.DeleteReleaseResponse()


@operation(CLEAN_UP_STORAGE)
def preview_storage_clean_up(
    actor: Actor, request: pb.PreviewStorageCleanUpRequest
) -> pb.PreviewStorageCleanUpResponse:
    """What a clean-up would remove now."""
    found = cleanup.preview_clean_up(actor)
    return pb.PreviewStorageCleanUpResponse(clean_up=_message(actor, found))


@operation(CLEAN_UP_STORAGE)
def clean_up_storage(actor: Actor, request: pb.CleanUpStorageRequest) -> pb.CleanUpStorageResponse:
    """Removes what the organization's settings let go and nothing uses; answers what went."""
    done = services.clean_up_storage(actor)
    return pb.CleanUpStorageResponse(clean_up=_message(actor, done))


def _message(actor: Actor, found: cleanup.CleanUp) -> pb.StorageCleanUp:
    keep, days = cleanup.retention_of(actor.organization_id)
    return pb.StorageCleanUp(
        releases=[
            pb.RemovedRelease(id=str(each.id), name=each.name, version=each.version)
            for each in found.releases
        ],
        release_files=len(found.files),
        artifacts=[artifact_message(each) for each in found.artifacts],
        uploads=len(found.uploads),
        stray_files=len(found.strays),
        size_bytes=found.size_bytes,
        keep_releases=keep,
        artifact_retention_days=days,
    )
