"""From a text to what it means, or to everything that is wrong with it."""

from dataclasses import replace

from apps.updates.domain.manifest.checking import Item, check
from apps.updates.domain.manifest.manifest import Manifest, Selection
from apps.updates.domain.manifest.notes import Notes
from apps.updates.domain.manifest.phasing import phases_of, share_of, timeout_of
from apps.updates.domain.manifest.problems import ManifestErrors, Place, Problem
from apps.updates.domain.manifest.reading import read_yaml
from apps.updates.domain.manifest.releasing import firmware_of, release_of
from apps.updates.domain.manifest.selecting import label_filter, selection_of
from apps.updates.domain.manifest.timing import (
    ORGANIZATION,
    installation_of,
    notifications_of,
    schedule_of,
    site_limit_of,
    zone_of,
)
from apps.updates.domain.plan import Plan
from apps.updates.domain.problems import BadPlan

MAX_LABELS = 64
MAX_FILTER = 4096
MAX_PROBLEMS = 500


def parse_manifest(text: str) -> Manifest:
    """What a manifest says. Raises `ManifestErrors`, whatever the text is."""
    node, problems = read_yaml(text)
    root, unfit = check(node)
    notes = Notes(problems + unfit)
    spec = root.find("spec")
    manifest = _understood(root, spec, notes) if spec is not None else None
    if manifest is None or notes.problems:
        raise ManifestErrors(_first(notes.problems))
    return replace(manifest, places=notes.places)


def _understood(root: Item, spec: Item, notes: Notes) -> Manifest | None:
    """The manifest as far as it can be understood; problems are noted."""
    if name := root.find("metadata.name"):
        notes.keep("rollout_name", name)
        if not name.value.strip() or not name.value.isprintable():
            notes.refuse(name, "A rollout's name is one printable line.")
    for kind in ("labels", "annotations"):
        _check_labels(root.find(f"metadata.{kind}"), notes)
    release = release_of(spec, notes)
    firmware = firmware_of(release)
    phases, zone = phases_of(spec, notes), zone_of(spec, notes)
    number, percent = share_of(spec, notes)
    shared = frozenset(_sharing(spec, len(phases))) if number or percent else frozenset[int]()
    if number:
        phases = tuple(
            replace(phase, maximum_in_flight=number) if index in shared else phase
            for index, phase in enumerate(phases)
        )
    notes.keep("supersedes", spec.find("rollout.supersedes"))
    priority = spec.get("template.spec.scheduling.priority", 0)
    plan = Plan(
        phases=phases,
        schedule=schedule_of(spec, notes),
        installation=installation_of(spec, notes),
        priority=priority,
        notifications=notifications_of(spec, notes),
        is_dynamic=spec.get("rollout.dynamic", False),
        site_limit=site_limit_of(spec, notes),
        supersedes=spec.get("rollout.supersedes", False),
    )
    return Manifest(
        name=root.get("metadata.name", "").strip(),
        labels=root.mapping("metadata.labels"),
        annotations=root.mapping("metadata.annotations"),
        selection=_target(spec, firmware, notes),
        excluded=_excluded(spec, firmware, notes),
        release=release,
        plan=_checked(plan, notes),
        requires_approval=spec.get("compliance.approvals.required", False),
        timeout_seconds=timeout_of(spec, notes),
        share_in_flight=percent,
        shared=shared if percent else frozenset(),
        is_organization_zone=zone == ORGANIZATION,
    )


def _checked(plan: Plan, notes: Notes) -> Plan:
    try:
        return plan.checked()
    except BadPlan as bad:
        if not any(problem.place == notes.place_of(bad.field) for problem in notes.problems):
            notes.refuse_field(bad.field, bad.message)
        return plan


def _sharing(spec: Item, phases: int) -> list[int]:
    """The phases that have no limit of their own."""
    steps = spec.each("strategy.canary.steps")
    own = {index for index, step in enumerate(steps) if step.find("maxInFlight")}
    return [index for index in range(phases) if index not in own]


def _target(spec: Item, firmware: str, notes: Notes) -> Selection:
    item = spec.find("selector")
    if item is None:
        message = "Which devices? Without a `selector` there is no target; `all: true` means all."
        notes.refuse(spec, message)
        return Selection()
    found = _selected(item, "target", firmware, notes)
    everything = item.find("all")
    if everything and not found.names_nothing:
        notes.refuse(everything, "This means every device: nothing else can be selected with it.")
    if not everything and found.names_nothing and found.failed_in is None:
        notes.refuse(item, "The selector names no device; `all: true` means all of them.")
    return found


def _excluded(spec: Item, firmware: str, notes: Notes) -> Selection | None:
    item = spec.find("exclude")
    if item is None:
        return None
    found = _selected(item, "excluded", firmware, notes)
    if found == Selection():
        notes.refuse(item, "This leaves nothing out: name devices, or take it away.")
    return found


def _selected(item: Item, field: str, firmware: str, notes: Notes) -> Selection:
    found = selection_of(item, field, notes)
    labels = label_filter(item, firmware, notes)
    if len(labels) > MAX_FILTER:
        notes.refuse(item, f"As a filter this has more than {MAX_FILTER} characters.")
    return replace(found, filter=found.filter or labels)


def _check_labels(item: Item | None, notes: Notes) -> None:
    if item is not None and len(item.inner) > MAX_LABELS:
        notes.refuse(item, f"A rollout keeps at most {MAX_LABELS} of these.")


def _first(problems: list[Problem]) -> list[Problem]:
    """All problems, as long as a person can make sense of their number."""
    if len(problems) <= MAX_PROBLEMS:
        return problems
    left = len(problems) - MAX_PROBLEMS
    kept = sorted(problems, key=lambda p: (p.place.line, p.place.column))[:MAX_PROBLEMS]
    end = Place(kept[-1].place.line, kept[-1].place.column)
    return [*kept, Problem(end, f"There are {left} more problems after these.")]
