"""Reading an organization's TUF repository, and which releases it covers."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from tuf.api.metadata import Metadata, Root, TargetFile

from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound
from apps.organizations.domain.settings import value
from apps.organizations.models import Organization
from apps.updates.domain.signing import (
    OnlineKeys,
    describe_component,
    description_digest,
    key_id,
    target_path,
)
from apps.updates.models import Component, Release, SigningMetadata, SigningRepository, SigningRole
from apps.updates.permissions import VIEW_RELEASES, VIEW_SIGNING
from apps.updates.selectors.releases import components_of, reread_release
from apps.updates.types import OfferedComponent

ALLOW_UNSIGNED = "updates.allow_unsigned"
PATH = "/tuf"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key as it stands in metadata."""

    id: str
    public: str


@dataclass(frozen=True, slots=True)
class RoleStatus:
    """One role: what is published of it (version 0 for nothing), and who signs it."""

    role: str
    version: int
    expires_at: datetime | None
    threshold: int
    keys: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True)
class SigningStatus:
    """What the organization's releases are signed with, and until when."""

    organization_id: UUID
    allows_unsigned: bool
    is_published: bool
    roles: tuple[RoleStatus, ...]
    online: OnlineKeys | None
    unsigned_releases: int
    # What takes over once a root names it.
    next_online: OnlineKeys | None = None

    @property
    def is_prepared(self) -> bool:
        """Whether the platform has its own keys."""
        return self.online is not None

    @property
    def repository_url(self) -> str:
        """Where TUF clients find the repository."""
        return repository_url(self.organization_id)


@dataclass(frozen=True, slots=True)
class WantedTarget:
    """One file of a release, as targets metadata has to name it."""

    path: str
    sha256: str
    length: int
    component: str
    position: int
    count: int
    description: dict[str, Any]
    description_sha256: str
    is_signed: bool


def repository_url(organization_id: UUID) -> str:
    """Where TUF clients find an organization's repository."""
    return f"{settings.EXTERNAL_URL}{PATH}/{organization_id}"


def get_signing_status(actor: Actor) -> SigningStatus:
    """What the organization's releases are signed with, and until when."""
    require(actor, VIEW_SIGNING)
    return reread_status(actor)


def reread_status(actor: Actor) -> SigningStatus:
    """The same, for services that have asked for another permission already."""
    organization_id = actor.organization_id
    repository = find_repository(organization_id)
    root = find_latest(organization_id, SigningRole.ROOT)
    return SigningStatus(
        organization_id=organization_id,
        allows_unsigned=allows_unsigned(organization_id),
        is_published=repository is not None and repository.published_at is not None,
        roles=tuple(_role(organization_id, role, root) for role in SigningRole),
        online=online_keys_of(repository) if repository else None,
        unsigned_releases=len(list_unsigned_releases(actor)),
        next_online=next_keys_of(repository) if repository else None,
    )


def find_repository(organization_id: UUID) -> SigningRepository | None:
    """The platform's side of the repository, None before it is prepared."""
    rows = SigningRepository.objects.for_org(organization_id)
    found: SigningRepository | None = rows.first()
    return found


def online_keys_of(repository: SigningRepository) -> OnlineKeys:
    """The public halves of the platform's keys."""
    return OnlineKeys(
        snapshot=repository.snapshot_public,
        timestamp=repository.timestamp_public,
        instruction=repository.instruction_public,
    )


def next_keys_of(repository: SigningRepository) -> OnlineKeys | None:
    """The public halves of the keys that wait for a root which names them; None without any.

    The key of instructions stays: devices that hold one of its instructions would refuse it.
    """
    if not repository.next_snapshot_public:
        return None
    return OnlineKeys(
        snapshot=repository.next_snapshot_public,
        timestamp=repository.next_timestamp_public,
        instruction=repository.instruction_public,
    )


def find_latest(organization_id: UUID, role: SigningRole) -> SigningMetadata | None:
    """The newest metadata of a role."""
    rows = SigningMetadata.objects.for_org(organization_id).filter(role=role)
    found: SigningMetadata | None = rows.order_by("-version").first()
    return found


def find_metadata(organization_id: UUID, role: str, version: int | None) -> str | None:
    """The metadata as it is served; None for the newest one. It is public by design of TUF.

    An organization that is not there answers like one that publishes nothing.
    """
    rows = SigningMetadata.objects.for_org(organization_id).filter(role=role)
    if version is not None:
        rows = rows.filter(version=version)
    text: str | None = rows.order_by("-version").values_list("content", flat=True).first()
    return text


def get_metadata(actor: Actor, role: str, version: int | None) -> str:
    """The same for a member; raises `NotFound`."""
    require(actor, VIEW_SIGNING)
    text = find_metadata(actor.organization_id, role, version)
    if text is None:
        raise NotFound
    return text


def find_trusted_root(organization_id: UUID) -> str:
    """The root that a device which joins now is told to trust; empty where there is none."""
    return find_metadata(organization_id, SigningRole.ROOT.value, None) or ""


def allows_unsigned(organization_id: UUID) -> bool:
    """Whether the organization lets devices install what nobody signed, for a trial."""
    found = Organization.objects.filter(id=organization_id).first()
    return found is not None and bool(value(found, ALLOW_UNSIGNED))


def get_release_targets(actor: Actor, release_id: UUID) -> tuple[Release, list[WantedTarget]]:
    """A release, and what has to stand in signed targets for devices to install it."""
    require(actor, VIEW_RELEASES)
    return reread_release_targets(actor, release_id)


def is_release_signed(actor: Actor, release_id: UUID) -> bool:
    """Whether the published targets name every component of the release as it is."""
    _, wanted = reread_release_targets(actor, release_id)
    return all(target.is_signed for target in wanted)


def reread_release_targets(actor: Actor, release_id: UUID) -> tuple[Release, list[WantedTarget]]:
    """The same, for services that have asked for another permission already."""
    release = reread_release(actor, release_id)
    signed = _signed_targets(actor.organization_id)
    return release, _wanted(release, release.components.all(), signed)


def unsigned_among(actor: Actor, release_ids: Collection[UUID]) -> set[UUID]:
    """Those of these releases that the published targets do not name as they are."""
    parts: dict[UUID, list[Component]] = defaultdict(list)
    rows = components_of(actor).filter(release_id__in=release_ids)
    for component in rows.select_related("artifact", "release"):
        parts[component.release_id].append(component)
    paths = {_path(row) for rows in parts.values() for row in rows}
    signed = _signed_targets(actor.organization_id, paths)
    return {
        release_id
        for release_id, rows in parts.items()
        if not all(t.is_signed for t in _wanted(rows[0].release, rows, signed))
    }


def list_unsigned_releases(actor: Actor) -> list[Release]:
    """The releases that no device with a trusted root would install, newest first."""
    signed = _signed_targets(actor.organization_id)
    parts: dict[UUID, list[Component]] = {}
    rows = components_of(actor).filter(release__files_removed_at=None)
    for component in rows.select_related("artifact", "release"):
        parts.setdefault(component.release_id, []).append(component)
    found = [
        components[0].release
        for components in parts.values()
        if not all(t.is_signed for t in _wanted(components[0].release, components, signed))
    ]
    return sorted(found, key=lambda release: release.created_at, reverse=True)


def offered_component(release: Release, component: Component, url: str = "") -> OfferedComponent:
    """A component as a device is offered it, and as what is signed describes it."""
    return OfferedComponent(
        name=component.name,
        version=release.version,
        kind=component.kind,
        sha256=component.artifact.sha256,
        size_bytes=component.artifact.size_bytes,
        url=url,
        target=component.target,
        file_mode=component.file_mode,
        hooks=component.hooks,
        install_options=component.install_options,
        checks=component.checks,
        target_path=target_path(release.name, release.version, component.name),
    )


def _signed_targets(
    organization_id: UUID, paths: Collection[str] | None = None
) -> dict[str, TargetFile]:
    """The targets of the published metadata, which was checked when it came; or some of them."""
    latest = find_latest(organization_id, SigningRole.TARGETS)
    if latest is None:
        return {}
    told = orjson.loads(latest.content)["signed"]["targets"]
    chosen = told if paths is None else [path for path in paths if path in told]
    return {path: TargetFile.from_dict(told[path], path) for path in chosen}


def _path(component: Component) -> str:
    release = component.release
    return target_path(release.name, release.version, component.name)


def _wanted(
    release: Release, components: Iterable[Component], signed: dict[str, TargetFile]
) -> list[WantedTarget]:
    rows = list(components)
    return [_target(release, row, place, len(rows), signed) for place, row in enumerate(rows)]


def _target(
    release: Release, row: Component, place: int, count: int, signed: dict[str, TargetFile]
) -> WantedTarget:
    offered = offered_component(release, row)
    description = describe_component({f.name: getattr(offered, f.name) for f in fields(offered)})
    digest = description_digest(description)
    custom = {
        "release": release.name,
        "version": release.version,
        "component": row.name,
        "position": place,
        "count": count,
        "description": digest,
    }
    found = signed.get(offered.target_path)
    return WantedTarget(
        path=offered.target_path,
        sha256=offered.sha256,
        length=offered.size_bytes,
        component=row.name,
        position=place,
        count=count,
        description=description,
        description_sha256=digest,
        is_signed=found is not None
        and found.hashes == {"sha256": offered.sha256}
        and found.length == offered.size_bytes
        and found.custom == custom,
    )


def _role(organization_id: UUID, role: SigningRole, root: SigningMetadata | None) -> RoleStatus:
    latest = root if role is SigningRole.ROOT else find_latest(organization_id, role)
    threshold = 0
    keys: tuple[PublicKey, ...] = ()
    if root is not None:
        trusted = Metadata[Root].from_bytes(root.content.encode()).signed
        threshold = trusted.roles[role.value].threshold
        keys = tuple(
            PublicKey(i, trusted.keys[i].keyval["public"]) for i in trusted.roles[role.value].keyids
        )
    return RoleStatus(
        role=role.value,
        version=latest.version if latest else 0,
        expires_at=latest.expires_at if latest else None,
        threshold=threshold,
        keys=keys,
    )


def online_key(public: str) -> PublicKey:
    """One of the platform's keys, with the name that metadata has for it."""
    return PublicKey(key_id(public), public)
