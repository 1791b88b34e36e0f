"""Which devices of a rollout fail: what those have in common that failed more often than all."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Q, QuerySet, Subquery

from apps.core.actors import Actor
from apps.core.ids import parse_uuid
from apps.devices.models import DeviceGroup
from apps.devices.selectors.places import group_ids_in_reach
from apps.updates.domain.gates import Outcome, Suspect, rank
from apps.updates.domain.states import (
    ACTIVE_DEPLOYMENT_STATES,
    FAILED_DEPLOYMENT_STATES,
    DeploymentState,
)
from apps.updates.domain.traits import sentence, trait_words
from apps.updates.models import Deployment
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.rollouts import get_rollout_id

# More outcomes than these tell nothing that these do not.
MAX_OUTCOMES = 20_000
SHOWN = 5
JUDGED = (DeploymentState.SUCCEEDED, *FAILED_DEPLOYMENT_STATES)
_DEVICE = "device__"
_SITE, _REGION = (f"{_DEVICE}inventory__facts__{name}" for name in ("site", "region"))
_COLUMNS = {
    "model": f"{_DEVICE}model",
    "os": f"{_DEVICE}os_name",
    "architecture": f"{_DEVICE}architecture",
    "site": _SITE,
    "region": _REGION,
    "previous_version": "previous",
}


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One trait whose devices fail more often; `waiting` of these have not begun, `active` are at
    work. `words` name the trait, `sentence` says everything."""

    suspect: Suspect
    words: str
    sentence: str
    waiting: int
    active: int


@dataclass(frozen=True, slots=True)
class Suspicions:
    """What was found, the most certain first, among how many outcomes. With more outcomes than can
    be looked at `is_partial` says so: then these are those of the first devices."""

    items: tuple[Suspicion, ...]
    outcomes: int
    failures: int
    is_partial: bool


def find_suspects(actor: Actor, rollout_id: UUID) -> Suspicions:
    """Traits whose devices fail more often in this rollout than chance explains; none where nothing
    stands out. Devices that were left out before say nothing. Groups are those within reach.
    """
    get_rollout_id(actor, rollout_id)
    rows = _judged(actor, rollout_id)
    found = list(rows.values_list(*_wanted())[: MAX_OUTCOMES + 1])
    is_partial, found = len(found) > MAX_OUTCOMES, found[:MAX_OUTCOMES]
    names = _group_names(actor)
    outcomes = [_outcome(row, names) for row in found]
    failures = sum(outcome.is_failed for outcome in outcomes)
    ranked = rank(outcomes, SHOWN) if failures else []
    items = tuple(_suspicion(actor, rollout_id, each, names) for each in ranked)
    return Suspicions(items, len(outcomes), failures, is_partial)


def deployments_with(actor: Actor, rollout_id: UUID, attribute: str, value: str) -> Any:
    """The latest attempts of a rollout's devices that have this trait and are not left out."""
    rows = _latest(actor, rollout_id)
    if attribute == "tag":
        return rows.filter(device__tags__contains=[value])
    if attribute == "group":
        return rows.filter(device__group_ids__contains=[parse_uuid(value)])
    return rows.filter(Q(**{_COLUMNS[attribute]: value}))


def name_trait(actor: Actor, attribute: str, value: str) -> str | None:
    """The trait in words; None for a group that is missing or out of sight."""
    if attribute != "group":
        return trait_words(attribute, value)
    name = _group_names(actor).get(parse_uuid(value))
    return name and trait_words(attribute, name)


def _latest(actor: Actor, rollout_id: UUID) -> QuerySet[Deployment]:
    rows = Deployment.objects.for_org(actor.organization_id)
    # What a device had before by the platform's own word, for all alike: what it reports now has
    # changed on those that succeeded, and on these alone.
    earlier = (
        rows.filter(
            device_id=OuterRef("device_id"),
            state=DeploymentState.SUCCEEDED,
            release__name=OuterRef("release__name"),
            finished_at__lte=OuterRef("created_at"),
        )
        .exclude(rollout_id=rollout_id)
        .order_by("-finished_at")
        .values("release__version")[:1]
    )
    mine: QuerySet[Deployment] = rows.filter(
        rollout_id=rollout_id, is_retried=False, is_excluded=False
    )
    return mine.annotate(previous=Subquery(earlier))


def _judged(actor: Actor, rollout_id: UUID) -> QuerySet[Deployment]:
    return _latest(actor, rollout_id).filter(state__in=JUDGED).order_by("position")


def _wanted() -> list[str]:
    return ["state", "device__tags", "device__group_ids", *_COLUMNS.values()]


def _outcome(row: Iterable[Any], names: dict[UUID | None, str]) -> Outcome:
    state, tags, group_ids, *values = row
    traits = [
        (attribute, value)
        for attribute, value in zip(_COLUMNS, values, strict=True)
        if isinstance(value, str) and value
    ]
    traits += [("tag", tag) for tag in tags]
    traits += [("group", str(id_)) for id_ in group_ids if id_ in names]
    return Outcome(state != DeploymentState.SUCCEEDED, traits)


def _suspicion(
    actor: Actor, rollout_id: UUID, suspect: Suspect, names: dict[UUID | None, str]
) -> Suspicion:
    value = suspect.value
    if suspect.attribute == "group":
        value = names[parse_uuid(value)]
    words = trait_words(suspect.attribute, value)
    rows = deployments_with(actor, rollout_id, suspect.attribute, suspect.value)
    waiting = rows.filter(state=DeploymentState.WAITING).count()
    active = rows.filter(state__in=ACTIVE_DEPLOYMENT_STATES).count()
    return Suspicion(suspect, words, sentence(suspect, words), waiting, active)


def _group_names(actor: Actor) -> dict[UUID | None, str]:
    """Static groups within reach, by id."""
    rows = DeviceGroup.objects.for_org(actor.organization_id).filter(tag="", filter="")
    reach = group_ids_in_reach(actor, VIEW_ROLLOUTS)
    if reach is not None:
        rows = rows.filter(id__in=reach)
    return dict(rows.values_list("id", "name"))
