"""Artifacts and releases, as REST and RPC offer them."""

from typing import Any

from apps.core.actors import Actor
from apps.core.public import enum_word, id_of, ids_of, operation, page_of
from apps.updates.domain.checks import NUMBERS
from apps.updates.domain.compatibility import Unreachable
from apps.updates.messages import (
    artifact_message,
    package_message,
    release_message,
    upload_message,
)
from apps.updates.permissions import (
    ATTACH_RELEASE_SBOM,
    CREATE_RELEASE,
    DEPRECATE_RELEASE,
    RECALL_RELEASE,
    STORE_ARTIFACT,
    VIEW_ARTIFACTS,
    VIEW_DEPLOYMENTS,
    VIEW_RELEASES,
)
from apps.updates.selectors import adoption, artifacts, fitting, packages, releases
from apps.updates.services import packages as package_services
from apps.updates.services import recalls, uploads
from apps.updates.services import releases as release_services
from apps.updates.types import HOOK_NAMES, Compatibility, NewComponent
from fleetd.pb.public.v1 import fleet_pb2 as pb


@operation(VIEW_ARTIFACTS)
def list_artifacts(actor: Actor, request: pb.ListArtifactsRequest) -> pb.ListArtifactsResponse:
    """The organization's artifacts, newest first."""
    page = artifacts.list_artifacts(actor, page_of(request))
    return pb.ListArtifactsResponse(
        items=[artifact_message(each) for each in page.items], next_page_token=page.next_page_token
    )


@operation(VIEW_ARTIFACTS)
def get_artifact(actor: Actor, request: pb.GetArtifactRequest) -> pb.GetArtifactResponse:
    """One artifact with its SHA-256."""
    artifact = artifacts.get_artifact(actor, id_of(request.id))
    return pb.GetArtifactResponse(artifact=artifact_message(artifact))


@operation(STORE_ARTIFACT)
def create_artifact_upload(
    actor: Actor, request: pb.CreateArtifactUploadRequest
) -> pb.CreateArtifactUploadResponse:
    """Begins an upload in parts, which stays open for a day after its last part."""
    upload = uploads.create_artifact_upload(
        actor,
        name=request.name,
        size_bytes=request.size_bytes,
        content_type=request.content_type,
        expected_sha256=request.sha256,
    )
    return pb.CreateArtifactUploadResponse(upload=upload_message(upload))


@operation(STORE_ARTIFACT)
def get_artifact_upload(
    actor: Actor, request: pb.GetArtifactUploadRequest
) -> pb.GetArtifactUploadResponse:
    """How much of an upload is stored."""
    upload = artifacts.get_artifact_upload(actor, id_of(request.id))
    return pb.GetArtifactUploadResponse(upload=upload_message(upload))


@operation(STORE_ARTIFACT)
def complete_artifact_upload(
    actor: Actor, request: pb.CompleteArtifactUploadRequest
) -> pb.CompleteArtifactUploadResponse:
    """Makes an artifact of an upload whose bytes have all arrived."""
    artifact = uploads.complete_artifact_upload(actor, id_of(request.id))
    return pb.CompleteArtifactUploadResponse(artifact=artifact_message(artifact))


@operation(STORE_ARTIFACT)
def cancel_artifact_upload(
    actor: Actor, request: pb.CancelArtifactUploadRequest
) -> pb.CancelArtifactUploadResponse:
    """Forgets an upload and what has arrived of it."""
    uploads.cancel_artifact_upload(actor, id_of(request.id))
    return pb.CancelArtifactUploadResponse()


@operation(VIEW_RELEASES)
def list_releases(actor: Actor, request: pb.ListReleasesRequest) -> pb.ListReleasesResponse:
    """The organization's releases with their components, newest first."""
    page = releases.list_releases(
        actor, page_of(request), package=request.package, search=request.search
    )
    return pb.ListReleasesResponse(
        items=[release_message(each) for each in page.items], next_page_token=page.next_page_token
    )


@operation(VIEW_RELEASES)
def get_release(actor: Actor, request: pb.GetReleaseRequest) -> pb.GetReleaseResponse:
    """One release with its components."""
    release = releases.get_release(actor, id_of(request.id))
    return pb.GetReleaseResponse(release=release_message(release))


@operation(VIEW_DEPLOYMENTS)
def get_release_adoption(
    actor: Actor, request: pb.GetReleaseAdoptionRequest
) -> pb.GetReleaseAdoptionResponse:
    """How many devices installed a release, by day."""
    days = adoption.list_adoption(actor, id_of(request.id))
    return pb.GetReleaseAdoptionResponse(
        days=[pb.AdoptionDay(day=each.day.isoformat(), devices=each.devices) for each in days]
    )


@operation(CREATE_RELEASE)
def create_release(actor: Actor, request: pb.CreateReleaseRequest) -> pb.CreateReleaseResponse:
    """Makes a release of artifacts that are stored already; it never changes afterwards."""
    release = release_services.create_release(
        actor,
        name=request.name,
        version=request.version,
        components=[_new_component(each) for each in request.components],
        notes=request.notes,
        bundle_mode=enum_word(pb.BundleMode, request.bundle_mode),
        compatibility=Compatibility(
            compatible=request.compatible,
            requires=[(rule.component, rule.versions) for rule in request.requires],
            conflicts=[(rule.component, rule.versions) for rule in request.conflicts],
            is_stepping_stone=request.is_stepping_stone,
        ),
    )
    return pb.CreateReleaseResponse(release=release_message(release))


@operation(RECALL_RELEASE)
def recall_release(actor: Actor, request: pb.RecallReleaseRequest) -> pb.RecallReleaseResponse:
    """Takes a release back for good: no rollout of it can be planned or started any more."""
    release = recalls.recall_release(actor, id_of(request.id), reason=request.reason)
    return pb.RecallReleaseResponse(release=release_message(release))


@operation(DEPRECATE_RELEASE)
def deprecate_release(
    actor: Actor, request: pb.DeprecateReleaseRequest
) -> pb.DeprecateReleaseResponse:
    """Advises against a release; it can be rolled out still."""
    release = recalls.deprecate_release(actor, id_of(request.id), reason=request.reason)
    return pb.DeprecateReleaseResponse(release=release_message(release))


@operation(ATTACH_RELEASE_SBOM)
def attach_release_sbom(
    actor: Actor, request: pb.AttachReleaseSbomRequest
) -> pb.AttachReleaseSbomResponse:
    """Makes a stored CycloneDX or SPDX document a release's bill of materials."""
    (artifact_id,) = ids_of([request.artifact_id], "artifact_id")
    release = package_services.attach_release_sbom(
        actor, id_of(request.id), artifact_id=artifact_id
    )
    return pb.AttachReleaseSbomResponse(release=release_message(release))


@operation(VIEW_RELEASES)
def list_release_packages(
    actor: Actor, request: pb.ListReleasePackagesRequest
) -> pb.ListReleasePackagesResponse:
    """What a release's bill of materials names, by name."""
    page = packages.list_release_packages(actor, id_of(request.id), page_of(request))
    return pb.ListReleasePackagesResponse(
        items=[package_message(each) for each in page.items], next_page_token=page.next_page_token
    )


@operation(VIEW_RELEASES)
def list_package_devices(
    actor: Actor, request: pb.ListPackageDevicesRequest
) -> pb.ListPackageDevicesResponse:
    """The devices in sight that have a release with this package installed."""
    page = packages.list_package_devices(actor, page_of(request), package=request.package)
    items = [
        pb.PackageDevice(
            device_id=str(each.device.id), device_name=each.device.name, releases=each.releases
        )
        for each in page.items
    ]
    return pb.ListPackageDevicesResponse(items=items, next_page_token=page.next_page_token)


@operation(VIEW_RELEASES)
def get_release_path(actor: Actor, request: pb.GetReleasePathRequest) -> pb.GetReleasePathResponse:
    """What to install, in which order, to bring a device to a release."""
    way = fitting.plan_release_path(actor, id_of(request.id), id_of(request.device_id))
    if isinstance(way, Unreachable):
        return pb.GetReleasePathResponse(
            code=way.code,
            reason=way.reason,
            obstacles=[
                pb.ReleaseObstacle(
                    code=each.code,
                    component=each.component,
                    wanted=each.wanted,
                    found=each.found,
                    message=each.message,
                )
                for each in way.obstacles
            ],
        )
    steps = [pb.ReleaseStep(release_id=r.id, name=r.name, version=r.version) for r in way]
    return pb.GetReleasePathResponse(is_reachable=True, steps=steps)


def _new_component(component: Any) -> NewComponent:
    artifact_ids = ids_of([component.artifact_id], "components.artifact_id")
    return NewComponent(
        name=component.name,
        kind=enum_word(pb.ComponentKind, component.kind),
        artifact_id=artifact_ids[0],
        target=component.target,
        file_mode=component.file_mode,
        hooks={name: _hook(component, name) for name in HOOK_NAMES if component.HasField(name)},
        install_options=dict(component.install_options),
        checks=[_check(each) for each in component.checks],
    )


def _check(check: Any) -> dict[str, Any]:
    """A health check as the service wants it."""
    found: dict[str, Any] = {name: getattr(check, name) for name in ("name", *NUMBERS)}
    if check.HasField("http"):
        http = check.http
        found["http"] = {
            "url": http.url,
            "statuses": list(http.statuses),
            "contains": http.contains,
        }
    if check.HasField("tcp"):
        found["tcp"] = {"host": check.tcp.host, "port": check.tcp.port}
    if check.HasField("heartbeat"):
        found["heartbeat"] = {}
    if check.HasField("command"):
        found["command"] = _hook(check, "command")
    return found


def _hook(component: Any, name: str) -> dict[str, Any]:
    """A hook as the service wants it; without a time limit it has the default one."""
    hook = getattr(component, name)
    found: dict[str, Any] = {"command": list(hook.command)}
    if hook.timeout_seconds:
        found["timeout_seconds"] = hook.timeout_seconds
    return found
