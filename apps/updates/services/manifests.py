"""Making rollouts of manifests: the release that one means, and the plan."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.core.actors import Actor
from apps.core.authz import require, require_somewhere
from apps.core.errors import FieldError, FleetdError, NotFound
from apps.core.filters import FilterError, parse
from apps.core.ids import parse_uuid
from apps.core.pagination import PageRequest
from apps.devices.filters import DEVICE_FIELDS
from apps.devices.selectors import list_device_groups
from apps.updates.domain.manifest import (
    Manifest,
    ManifestErrors,
    NewRelease,
    Part,
    Place,
    Problem,
    ReleaseName,
    Selection,
    parse_manifest,
)
from apps.updates.errors import InvalidManifest, RolloutTargetEmpty
from apps.updates.models import Artifact, Component, Release, Rollout
from apps.updates.permissions import CREATE_RELEASE, CREATE_ROLLOUT, VIEW_RELEASES
from apps.updates.selectors.channels import open_promotions
from apps.updates.selectors.releases import components_of
from apps.updates.selectors.rollouts import count_target_devices, reread_rollout
from apps.updates.selectors.zones import organization_zone
from apps.updates.services.planning import create_rollout, foresee
from apps.updates.services.releases import create_release
from apps.updates.types import Compatibility, NewComponent, Target

# What is said of the content of a release that is there already.
_COMPARED = ("name", "kind", "target", "file_mode", "hooks", "install_options", "checks")


def create_from_manifest(actor: Actor, text: str, *, validate_only: bool = False) -> Rollout:
    """Plans the rollout that a manifest says, as a draft, with the release that it needs.

    A release with the same name, version and content is taken; otherwise it is made of artifacts
    that are stored, which needs the right to make releases. With `validate_only` everything runs
    and nothing stays, and the phases of the answer count the devices that they would have now. Not
    idempotent. Raises `InvalidManifest` with every problem at its line, `PermissionDenied`.
    """
    require_somewhere(actor, CREATE_ROLLOUT)
    try:
        manifest = parse_manifest(text)
    except ManifestErrors as error:
        raise _refusal(error.problems) from error
    with transaction.atomic():
        release = _release(actor, manifest)
        rollout = _planned(actor, manifest, release)
        foresee(actor, rollout)
        if validate_only:
            transaction.set_rollback(True)
    return rollout


def _planned(actor: Actor, manifest: Manifest, release: Release) -> Rollout:
    target, excluded = _targets(actor, manifest)
    with _at_their_lines(manifest):
        older = manifest.plan.installation.allow_downgrade
        devices = count_target_devices(actor, target, excluded, release, allows_downgrade=older)
        rollout = create_rollout(
            actor,
            name=manifest.name,
            release_id=release.id,
            channel=getattr(manifest.release, "channel", ""),
            target=target,
            excluded=excluded,
            plan=manifest.plan_for(devices, organization_zone(actor.organization_id)),
            requires_approval=manifest.requires_approval,
            deployment_timeout_seconds=manifest.timeout_seconds,
        )
    rollout.labels = dict(manifest.labels)
    rollout.annotations = dict(manifest.annotations)
    rollout.save(update_fields=["labels", "annotations"])
    return reread_rollout(actor, rollout.id)


def _targets(actor: Actor, manifest: Manifest) -> tuple[Target, Target | None]:
    """The target and the exclusions, with groups by id."""
    problems: list[Problem] = []
    target = _target(actor, manifest, manifest.selection, "target", problems)
    excluded = None
    if manifest.excluded is not None:
        excluded = _target(actor, manifest, manifest.excluded, "excluded", problems)
    if problems:
        raise _refusal(problems)
    return target, excluded


def _target(
    actor: Actor, manifest: Manifest, said: Selection, field: str, problems: list[Problem]
) -> Target:
    ids = {name: parse_uuid(name) or _group_id(actor, name) for name in said.groups}
    for name, found in ids.items():
        if found is None:
            place = manifest.place_of(f"{field}.group_ids")
            problems.append(Problem(place, f"There is no device group {name[:100]!r}."))
    target = Target(
        device_ids=said.device_ids,
        tags=said.tags,
        group_ids=tuple(each for each in ids.values() if each is not None),
        filter=said.filter,
        failed_in=said.failed_in,
        failed_because=said.failed_because,
        percent=said.percent,
        maximum=said.maximum,
    )
    with _collected(manifest, field, problems):
        count_target_devices(actor, target)
    return target


def _group_id(actor: Actor, name: str) -> UUID | None:
    """The group of this name, where the actor sees it."""
    page = list_device_groups(actor, PageRequest(), search=name)
    return next((group.id for group in page.items if group.name == name), None)


def _release(actor: Actor, manifest: Manifest) -> Release:
    """The release that is there, or is made now."""
    wanted = manifest.release
    if isinstance(wanted, ReleaseName):
        return _named(actor, manifest, wanted)
    require(actor, CREATE_RELEASE)
    artifacts = _artifacts(actor, wanted)
    compatible = _compatible(wanted)
    parts = [_component(part, artifacts[part.sha256]) for part in wanted.parts]
    found = _released(actor, wanted.name, wanted.version)
    if found is None:
        with _at_their_lines(manifest):
            return create_release(
                actor,
                name=wanted.name,
                version=wanted.version,
                components=parts,
                notes=wanted.notes,
                bundle_mode=wanted.bundle_mode,
                compatibility=Compatibility(compatible=compatible),
            )
    if not _is_same(actor, found, wanted, parts, compatible):
        message = (
            f"There is a release {wanted.name} {wanted.version} with other content, and releases "
            "never change: give this one another version."
        )
        raise _refusal([Problem(manifest.place_of("version"), message)])
    return found


def _named(actor: Actor, manifest: Manifest, wanted: ReleaseName) -> Release:
    """The release of this version, or the one that the channel points at now."""
    require(actor, VIEW_RELEASES)
    if wanted.channel:
        pointing = open_promotions(actor, wanted.name).filter(channel=wanted.channel).first()
        if pointing is not None:
            return pointing.release
        place, told = manifest.place_of("channel"), f"channel {wanted.channel} of {wanted.name}"
    else:
        found = _released(actor, wanted.name, wanted.version)
        if found is not None:
            return found
        place, told = manifest.place_of("version"), f"release {wanted.name} {wanted.version}"
    raise _refusal([Problem(place, f"There is no {told}.")])


def _released(actor: Actor, name: str, version: str) -> Release | None:
    rows = Release.objects.for_org(actor.organization_id).filter(name=name, version=version)
    found: Release | None = rows.first()
    return found


def _artifacts(actor: Actor, wanted: NewRelease) -> dict[str, Artifact]:
    """The stored files by digest. Raises `InvalidManifest` that names all that are missing."""
    digests = {part.sha256 for part in wanted.parts}
    stored = Artifact.objects.for_org(actor.organization_id).filter(file_removed_at=None)
    rows = stored.filter(sha256__in=digests)
    found = {artifact.sha256: artifact for artifact in rows}
    problems = [
        problem for part in wanted.parts for problem in _file_problems(part, found.get(part.sha256))
    ]
    if problems:
        raise _refusal(problems)
    return found


def _file_problems(part: Part, artifact: Artifact | None) -> Iterator[Problem]:
    if artifact is None:
        message = (
            "No file with this checksum is stored here. Upload it: `fleetctl artifacts upload FILE`"
            " prints its checksum."
        )
        yield Problem(part.place, message)
    elif part.size is not None and part.size != artifact.size_bytes:
        message = f"The stored file has {artifact.size_bytes} bytes, not {part.size}."
        yield Problem(part.place, message)


def _compatible(wanted: NewRelease) -> str:
    """All requirements as one filter, each read alone first so that its line is named."""
    problems, clauses = [], []
    for requirement in wanted.requirements:
        try:
            clauses.append(str(parse(requirement.filter, DEVICE_FIELDS)))
        except FilterError as error:
            message = (
                f"{error.message}. What devices do not report a hook can look at: it exits with "
                "75 to try later."
            )
            problems.append(Problem(requirement.place, message))
    if problems:
        raise _refusal(problems)
    if len(clauses) < 2:
        return "".join(clauses)
    return str(parse(" AND ".join(f"({clause})" for clause in clauses), DEVICE_FIELDS))


def _component(part: Part, artifact: Artifact) -> NewComponent:
    return NewComponent(
        name=part.name,
        kind=part.kind,
        artifact_id=artifact.id,
        target=part.target,
        file_mode=part.file_mode,
        hooks=part.hooks,
        install_options=part.install_options,
        checks=part.checks,
    )


def _is_same(
    actor: Actor,
    release: Release,
    wanted: NewRelease,
    parts: Sequence[NewComponent],
    compatible: str,
) -> bool:
    """Whether a release is what the manifest would make; its notes do not matter."""
    stored = [_content(row) for row in components_of(actor).filter(release_id=release.id)]
    asks = release.requires or release.conflicts or release.is_stepping_stone
    return (
        not asks
        and release.bundle_mode == wanted.bundle_mode
        and release.compatible == compatible
        and stored == [_content(part) for part in parts]
    )


def _content(part: Component | NewComponent) -> list[Any]:
    values = [getattr(part, name) for name in _COMPARED]
    plain = [list(v) if isinstance(v, tuple) else v for v in values]
    return [part.artifact_id, *plain]


def _refusal(problems: Sequence[Problem]) -> InvalidManifest:
    """The failure for these problems, in the order of the lines."""
    found = sorted(problems, key=lambda each: (each.place.line, each.place.column))
    listed = [
        {
            "line": each.place.line,
            "column": each.place.column,
            "path": each.place.path,
            "message": each.message,
            "suggestion": each.suggestion,
        }
        for each in found
    ]
    number = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    return InvalidManifest(
        f"The manifest has {number}; the first one: {found[0]}",
        data={"problems": listed},
        fields=[FieldError("manifest", InvalidManifest.code, str(each)) for each in found],
    )


@contextmanager
def _at_their_lines(manifest: Manifest) -> Iterator[None]:
    """What a service refuses, at the lines that the fields come from."""
    try:
        yield
    except RolloutTargetEmpty as error:
        problem = Problem(manifest.place_of("target"), error.message)
        raise _refusal([problem]) from error
    except FleetdError as error:
        problems = _problems_of(manifest, error)
        if not problems:
            raise
        raise _refusal(problems) from error


@contextmanager
def _collected(manifest: Manifest, field: str, problems: list[Problem]) -> Iterator[None]:
    """What is wrong with the names of one selector."""
    try:
        yield
    except NotFound as error:
        problems.append(Problem(manifest.place_of(field), error.message))
    except FleetdError as error:
        found = _problems_of(manifest, error, f"{field}.")
        if not found:
            raise
        problems += found


def _problems_of(manifest: Manifest, error: FleetdError, prefix: str = "") -> list[Problem]:
    return [
        Problem(_place(manifest, f"{prefix}{each.field}"), each.message) for each in error.fields
    ]


def _place(manifest: Manifest, field: str) -> Place:
    return manifest.place_of(field.removeprefix("plan."))
