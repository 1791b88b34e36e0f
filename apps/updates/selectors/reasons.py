"""Why devices of a rollout ended as they did: the reasons, and the devices behind each."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import CharField, Count, Max, Q, QuerySet
from django.db.models.functions import Cast

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require_somewhere
from apps.devices.domain.states import Connectivity
from apps.devices.filters import has_connectivity
from apps.devices.models import Device
from apps.devices.selectors.places import within
from apps.updates.domain.states import (
    ACTIVE_DEPLOYMENT_STATES,
    FAILED_DEPLOYMENT_STATES,
    FINAL_DEPLOYMENT_STATES,
    DeploymentState,
)
from apps.updates.models import Deployment
from apps.updates.permissions import VIEW_DEPLOYMENTS
from apps.updates.selectors.reason_terms import reason_of
from apps.updates.selectors.rollouts import get_rollout_id

# Devices send the codes: whatever they send, a page stays a page.
MOST_REASONS = 50
TO_GO = (DeploymentState.WAITING, *ACTIVE_DEPLOYMENT_STATES)
_REASONED = [s.value for s in FINAL_DEPLOYMENT_STATES if s is not DeploymentState.SUCCEEDED]


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """The devices of a rollout that ended, or are held up, for one reason.

    `reason` is the code that the device or the platform gave, or the state where nobody gave one.
    `sample` is one of these deployments, with its device; one with a log where any has one.
    """

    reason: str
    states: tuple[tuple[str, int], ...]
    sample: Deployment | None

    @property
    def count(self) -> int:
        """How many devices."""
        return sum(number for _, number in self.states)

    @property
    def failed(self) -> int:
        """How many of them failed, and can be tried again."""
        return sum(number for state, number in self.states if state in FAILED_DEPLOYMENT_STATES)

    @property
    def line(self) -> str:
        """What the sample said: the last line of its log, or its message."""
        if self.sample is None:
            return ""
        lines = [line.strip() for line in self.sample.log_tail.splitlines() if line.strip()]
        return lines[-1][:300] if lines else self.sample.message


def list_reasons(actor: Actor, rollout_id: UUID) -> list[ReasonGroup]:
    """Why devices did not get the release, the most frequent reason first, with one that said it.

    Of a rollout to many, people see their devices' part. At most `MOST_REASONS`.
    """
    require_somewhere(actor, VIEW_DEPLOYMENTS)
    get_rollout_id(actor, rollout_id)
    rows = _ended(actor, rollout_id)
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in _counted(rows):
        groups.setdefault(row["why"], []).append(row)
    largest = sorted(groups.items(), key=lambda item: (-_devices(item[1]), item[0]))[:MOST_REASONS]
    chosen = {why: _spokesman(found) for why, found in largest}
    samples = {row.id: row for row in rows.filter(id__in=chosen.values()).select_related("device")}
    return [
        ReasonGroup(why, tuple((r["state"], r["number"]) for r in found), samples.get(chosen[why]))
        for why, found in largest
    ]


def is_offline_to_go(actor: Actor) -> Q:
    """Deployments that are not over and whose device is not connected now."""
    devices, now = Device.objects.for_org(actor.organization_id), clock.now()
    away = has_connectivity(Connectivity.OFFLINE, now) | has_connectivity(
        Connectivity.NEVER_SEEN, now
    )
    return Q(state__in=TO_GO, device_id__in=devices.filter(away).order_by().values("id"))


def _ended(actor: Actor, rollout_id: UUID) -> QuerySet[Deployment]:
    is_held_up = Q(state__in=ACTIVE_DEPLOYMENT_STATES) & ~Q(reason_code="")
    rows = Deployment.objects.for_org(actor.organization_id).filter(
        Q(state__in=_REASONED) | is_held_up, rollout_id=rollout_id, is_retried=False
    )
    seen: QuerySet[Deployment] = within(actor, VIEW_DEPLOYMENTS, rows, via="device")
    return seen


def _counted(rows: QuerySet[Deployment]) -> list[dict[str, Any]]:
    """By reason and state: how many, and the newest of them, with a log and at all."""
    newest = Cast("id", CharField())
    counted = rows.annotate(why=reason_of()).order_by().values("why", "state")
    found = counted.annotate(
        number=Count("id"), newest=Max(newest), logged=Max(newest, filter=~Q(log_tail=""))
    )
    return [dict(row) for row in found.order_by("-number", "why", "state")]


def _spokesman(rows: list[dict[str, Any]]) -> UUID:
    """Whose words are shown for a group."""
    found = [row["logged"] for row in rows if row["logged"]] or [row["newest"] for row in rows]
    return UUID(found[0])


def _devices(rows: list[dict[str, Any]]) -> int:
    return sum(row["number"] for row in rows)
