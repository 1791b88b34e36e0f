"""Reading deployments."""

from collections.abc import Collection
from uuid import UUID

from django.db.models import QuerySet

from apps.core.actors import Actor
from apps.core.authz import require, require_somewhere
from apps.core.errors import NotFound
from apps.core.pagination import Page, PageRequest, paginate
from apps.devices.selectors.places import (
    within,
)
from apps.updates.domain.states import (
    FINAL_DEPLOYMENT_STATES,
    DeploymentState,
)
from apps.updates.models import (
    Deployment,
)
from apps.updates.permissions import (
    CLAIM_DEPLOYMENTS,
    VIEW_DEPLOYMENTS,
)
from apps.updates.selectors.reason_terms import with_reason
from apps.updates.selectors.reasons import is_offline_to_go
from apps.updates.selectors.rollouts import known_state
from apps.updates.types import Withdrawal

_SORTED = ("id", "organization_id", "phase_index", "position")


def list_deployments(
    actor: Actor,
    page: PageRequest,
    *,
    rollout_id: UUID | None = None,
    device_id: UUID | None = None,
    state: str = "",
    reason: str = "",
    is_offline: bool = False,
) -> Page[Deployment]:
    """Deployments with their device and rollout: a rollout's in the order of its plan, so that
    those at work come before those that wait; a device's, and all, newest first.

    They stand where their device stands: of a rollout to many, people see their devices' part.
    """
    require_somewhere(actor, VIEW_DEPLOYMENTS)
    rows = _deployments(actor)
    if rollout_id is not None:
        rows = rows.filter(rollout_id=rollout_id)
    if device_id is not None:
        rows = rows.filter(device_id=device_id)
    if state:
        rows = rows.filter(state=known_state(DeploymentState, state))
    if reason:
        rows = rows.filter(with_reason(reason), is_retried=False)
    if is_offline:
        rows = rows.filter(is_offline_to_go(actor))
    order = ["-id"] if rollout_id is None else ["phase_index", "position", "id"]
    # Sorted without their devices: of 100,000 rows a page needs 50.
    found = paginate(rows.select_related(None).only(*_SORTED), page, order_by=order)
    whole = _deployments(actor).in_bulk([row.id for row in found.items])
    return Page([whole[row.id] for row in found.items if row.id in whole], found.next_page_token)


def get_deployment(actor: Actor, deployment_id: UUID) -> Deployment:
    """One deployment with its device and rollout."""
    require_somewhere(actor, VIEW_DEPLOYMENTS)
    found: Deployment | None = _deployments(actor).filter(id=deployment_id).first()
    if found is None:
        raise NotFound
    return found


def list_withdrawn(actor: Actor, deployment_ids: Collection[UUID]) -> list[Withdrawal]:
    """Those of these deployments that are over for the platform, for gateways.

    A gateway asks about the deployments that its devices work on, when it is told that something
    was cancelled and every few seconds besides, and tells the devices.
    """
    require(actor, CLAIM_DEPLOYMENTS)
    rows = Deployment.objects.for_org(actor.organization_id).filter(
        id__in=deployment_ids, state__in=FINAL_DEPLOYMENT_STATES
    )
    return [
        Withdrawal(deployment_id, device_id, reason or state)
        for deployment_id, device_id, reason, state in rows.order_by("id").values_list(
            "id", "device_id", "reason_code", "state"
        )
    ]


def _deployments(actor: Actor) -> QuerySet[Deployment]:
    rows: QuerySet[Deployment] = Deployment.objects.for_org(actor.organization_id)
    seen: QuerySet[Deployment] = within(actor, VIEW_DEPLOYMENTS, rows, via="device")
    return seen.select_related("device", "rollout", "rollout__release")
