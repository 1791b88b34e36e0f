"""Making releases."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import invalid
from apps.core.filters import FilterError, parse
from apps.devices.filters import DEVICE_FIELDS
from apps.updates.domain.checks import checked_checks
from apps.updates.domain.compatibility import ANY, BadRange, parse_rule
from apps.updates.domain.components import (
    BadComponent,
    check_component,
    checked_hooks,
    is_release_name,
    is_version,
)
from apps.updates.domain.install_options import checked_options
from apps.updates.errors import ArtifactFileRemoved, ReleaseVersionTaken
from apps.updates.models import Artifact, BundleMode, Component, ComponentKind, Release
from apps.updates.permissions import CREATE_RELEASE
from apps.updates.selectors.releases import reread_release
from apps.updates.types import Compatibility, NewComponent

MAX_COMPONENTS = 32
MAX_NOTES = 10_000
MAX_RULES = 16
MAX_FILTER = 2000


def create_release(
    actor: Actor,
    *,
    name: str,
    version: str,
    components: Sequence[NewComponent],
    notes: str = "",
    bundle_mode: str = "",
    compatibility: Compatibility | None = None,
) -> Release:
    """Makes a release of artifacts that are stored already. It never changes afterwards.

    Several components are one bundle: `bundle_mode` atomic, which is meant without one, or
    sequential. Raises `InvalidRequest` for anything that a device could not install or that no
    device could meet, `ReleaseVersionTaken` where there is this version already.
    """
    require(actor, CREATE_RELEASE)
    _check(name, version, notes, components)
    fits = compatibility or Compatibility()
    release = Release(
        organization_id=actor.organization_id,
        name=name,
        version=version,
        notes=notes,
        bundle_mode=_bundle_mode(bundle_mode),
        compatible=_compatible(fits.compatible),
        requires=_rules("requires", fits.requires),
        conflicts=_rules("conflicts", fits.conflicts),
        is_stepping_stone=fits.is_stepping_stone,
        created_at=clock.now(),
        created_by=actor.label,
    )
    _check_rules(release)
    rows = [_component(release, place, new) for place, new in enumerate(components)]
    _check_artifacts(actor, components)
    try:
        with transaction.atomic():
            release.save(force_insert=True)
    except IntegrityError as error:
        raise ReleaseVersionTaken(data={"name": name, "version": version}) from error
    Component.objects.for_org(actor.organization_id).bulk_create(rows)
    record(actor, CREATE_RELEASE.name, release, changes=_described(release, rows))
    return reread_release(actor, release.id)


def _component(release: Release, place: int, new: NewComponent) -> Component:
    """One row. Raises the failure that names the field by its place."""
    try:
        if new.kind not in ComponentKind.values:
            raise BadComponent("kind", "unknown_kind", f"There is no kind {new.kind!r}.")
        check_component(new.kind, new.target, new.file_mode)
        hooks = checked_hooks(new.hooks)
        options = checked_options(new.kind, new.install_options)
        checks = checked_checks(new.checks)
    except BadComponent as bad:
        raise invalid(f"components.{place}.{bad.field}", bad.code, bad.message) from bad
    return Component(
        organization_id=release.organization_id,
        release=release,
        position=place,
        name=new.name,
        kind=new.kind,
        artifact_id=new.artifact_id,
        target=new.target,
        file_mode=new.file_mode,
        hooks=hooks,
        install_options=options,
        checks=checks,
    )


def _bundle_mode(text: str) -> str:
    if text and text not in BundleMode.values:
        known = ", ".join(BundleMode.values)
        raise invalid("bundle_mode", "unknown_bundle_mode", f"A bundle is one of {known}.")
    return text or BundleMode.ATOMIC.value


def _compatible(text: str) -> str:
    """The filter in its canonical form.

    It cannot speak of groups: what is in them changes, and a release never does.
    """
    if not text.strip():
        return ""
    try:
        found = parse(text, DEVICE_FIELDS)
    except FilterError as error:
        raise invalid("compatible", error.code, error.message) from error
    if any(clause.field.name == "group" for clause in found.clauses()):
        raise invalid("compatible", "group_not_allowed", "A release cannot speak of groups.")
    canonical = str(found)
    if len(canonical) > MAX_FILTER:
        raise invalid("compatible", "filter_too_long", "A filter has at most 2000 characters.")
    return canonical


def _rules(field: str, pairs: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Rules as they are stored, in their canonical form."""
    if len(pairs) > MAX_RULES:
        raise invalid(field, "too_many_rules", "At most 16.")
    found = []
    for place, (component, versions) in enumerate(pairs):
        where = f"{field}.{place}"
        if not is_release_name(component):
            message = "A name has 1 to 100 letters, digits, . + - _."
            raise invalid(f"{where}.component", "invalid_name", message)
        try:
            rule = parse_rule(component, versions)
        except BadRange as bad:
            raise invalid(f"{where}.versions", "invalid_range", str(bad)) from bad
        found.append({"component": rule.component, "versions": rule.versions})
    return found


def _check_rules(release: Release) -> None:
    """Nothing asks for what it forbids."""
    asked = [(rule["component"], rule["versions"]) for rule in release.requires]
    for place, rule in enumerate(release.conflicts):
        if (rule["component"], rule["versions"]) in asked or (
            rule["versions"] == ANY and rule["component"] in {name for name, _ in asked}
        ):
            message = f"{rule['component']} is required and excluded at once."
            raise invalid(f"conflicts.{place}", "contradiction", message)


def _check(name: str, version: str, notes: str, components: Sequence[NewComponent]) -> None:
    if not is_release_name(name):
        raise invalid("name", "invalid_name", "A name has 1 to 100 letters, digits, . + - _.")
    if not is_version(version):
        raise invalid("version", "invalid_version", "A version looks like 1.2.3.")
    if len(notes) > MAX_NOTES or "\0" in notes:
        raise invalid("notes", "invalid_notes", "Notes have at most 10000 characters.")
    if not 0 < len(components) <= MAX_COMPONENTS:
        raise invalid("components", "invalid_components", "A release has 1 to 32 components.")
    for place, component in enumerate(components):
        if not is_release_name(component.name):
            message = "A name has 1 to 100 letters, digits, . + - _."
            raise invalid(f"components.{place}.name", "invalid_name", message)
    name, number = Counter(c.name for c in components).most_common(1)[0]
    if number > 1:
        raise invalid("components", "duplicate_name", f"Two components are called {name!r}.")


def _check_artifacts(actor: Actor, components: Sequence[NewComponent]) -> None:
    """All are there, and none of them is deleted before the release is stored."""
    wanted = {c.artifact_id for c in components}
    rows = Artifact.objects.for_org(actor.organization_id).filter(id__in=wanted).order_by("id")
    found = {artifact.id: artifact for artifact in rows.select_for_update(no_key=True)}
    for place, component in enumerate(components):
        field = f"components.{place}.artifact_id"
        if component.artifact_id not in found:
            raise invalid(field, "unknown_artifact", "There is no such artifact.")
        if found[component.artifact_id].file_removed_at is not None:
            raise invalid(field, ArtifactFileRemoved.code, ArtifactFileRemoved.default_message)


def _described(release: Release, rows: Sequence[Component]) -> dict[str, Any]:
    components = [{"name": r.name, "kind": r.kind, "artifact_id": r.artifact_id} for r in rows]
    return {"name": release.name, "version": release.version, "components": components}
