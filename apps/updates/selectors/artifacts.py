"""Reading artifacts."""

from collections.abc import Collection
from typing import BinaryIO
from uuid import UUID

from django.db.models import Q, QuerySet, Sum

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound
from apps.core.pagination import Page, PageRequest, paginate
from apps.devices.domain.states import Lifecycle
from apps.organizations.storage import artifact_storage
from apps.updates.domain.states import (
    ACTIVE_DEPLOYMENT_STATES,
)
from apps.updates.domain.storage import artifact_path
from apps.updates.models import (
    Artifact,
    ArtifactUpload,
    Component,
    Deployment,
)
from apps.updates.permissions import (
    STORE_ARTIFACT,
    VIEW_ARTIFACTS,
)


def list_artifacts(actor: Actor, page: PageRequest) -> Page[Artifact]:
    """The organization's artifacts, newest first."""
    require(actor, VIEW_ARTIFACTS)
    return paginate(_artifacts(actor), page, order_by=["-id"])


def get_artifact(actor: Actor, artifact_id: UUID) -> Artifact:
    """One artifact."""
    require(actor, VIEW_ARTIFACTS)
    found: Artifact | None = _artifacts(actor).filter(id=artifact_id).first()
    if found is None:
        raise NotFound
    return found


def get_artifact_by_digest(actor: Actor, sha256: str) -> Artifact:
    """The artifact with this SHA-256."""
    require(actor, VIEW_ARTIFACTS)
    found: Artifact | None = _artifacts(actor).filter(sha256=sha256[:64]).first()
    if found is None:
        raise NotFound
    return found


def find_artifacts(actor: Actor, artifact_ids: Collection[UUID]) -> dict[UUID, Artifact]:
    """Those of these artifacts that exist, by id."""
    require(actor, VIEW_ARTIFACTS)
    return {a.id: a for a in _artifacts(actor).filter(id__in=artifact_ids)}


def count_stored_bytes(organization_id: UUID) -> int:
    """How many bytes the organization's artifacts have, for the quota.

    Those that uploads under way have announced count, whether they have arrived or not.
    """
    artifacts = Artifact.objects.for_org(organization_id).filter(file_removed_at=None)
    uploads = ArtifactUpload.objects.for_org(organization_id).filter(
        artifact=None, expires_at__gt=clock.now()
    )
    totals = (rows.aggregate(total=Sum("size_bytes"))["total"] for rows in (artifacts, uploads))
    return sum(int(total or 0) for total in totals)


def get_artifact_upload(actor: Actor, upload_id: UUID) -> ArtifactUpload:
    """One upload, open or complete: how much of it is stored."""
    require(actor, STORE_ARTIFACT)
    rows = ArtifactUpload.objects.for_org(actor.organization_id)
    known = rows.filter(Q(expires_at__gte=clock.now()) | Q(artifact__isnull=False))
    found: ArtifactUpload | None = known.filter(id=upload_id).first()
    if found is None:
        raise NotFound("There is no such upload, or it has expired.")
    return found


def find_stored_artifact(organization_id: UUID, sha256: str) -> Artifact | None:
    """The artifact with this content, if its file is there."""
    rows = Artifact.objects.for_org(organization_id).filter(sha256=sha256, file_removed_at=None)
    found: Artifact | None = rows.first()
    return found if found is not None and is_stored(found) else None


def storage_name(organization_id: UUID, sha256: str) -> str:
    """Under which name the storage holds the bytes with this digest."""
    return str(artifact_path(organization_id, sha256))


def is_stored(artifact: Artifact) -> bool:
    """Whether the storage has an artifact's bytes."""
    name = storage_name(artifact.organization_id, artifact.sha256)
    return artifact_storage().exists(name)


def open_stored(artifact: Artifact, first: int, length: int) -> BinaryIO:
    """Some of an artifact's bytes, to be read in pieces and closed. Raises `OSError`."""
    name = storage_name(artifact.organization_id, artifact.sha256)
    return artifact_storage().open_range(name, first, length)


def find_offered_artifact(
    organization_id: UUID, deployment_id: UUID, sha256: str
) -> Artifact | None:
    """The artifact with this digest, if the deployment is being worked on and includes it.

    A device in quarantine gets nothing, whatever it was at. For the download door, which has
    checked a signed link; there is no other actor.
    """
    deployments = Deployment.objects.for_org(organization_id)
    deployment = deployments.filter(
        id=deployment_id,
        state__in=ACTIVE_DEPLOYMENT_STATES,
        device__lifecycle=Lifecycle.ACTIVE,
    ).values_list("release_id")
    component: Component | None = (
        Component.objects.for_org(organization_id)
        .filter(release_id__in=deployment, artifact__sha256=sha256)
        .select_related("artifact")
        .first()
    )
    return component.artifact if component else None


def _artifacts(actor: Actor) -> QuerySet[Artifact]:
    rows: QuerySet[Artifact] = Artifact.objects.for_org(actor.organization_id)
    return rows
