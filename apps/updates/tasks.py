"""Work that the worker does for rollouts."""

from uuid import UUID

from apps.core.actors import Actor
from apps.core.authz import PLATFORM
from apps.core.tasks import org_task, wake
from apps.updates.selectors.evidence import list_measured_rollout_ids
from apps.updates.selectors.rollouts import (
    list_due_rollout_ids,
    list_dynamic_rollout_ids,
    list_live_rollout_ids,
)
from apps.updates.selectors.superseding import list_superseded_rollout_ids
from apps.updates.services.artifacts import remove_abandoned_uploads
from apps.updates.services.cleanup import clean_up_storage
from apps.updates.services.joining import JOIN_TASK, join_rollout
from apps.updates.services.moves import ADVANCE_TASK
from apps.updates.services.notifications import DELIVER_TASK, send_notifications
from apps.updates.services.rollout_log import hold_rollouts
from apps.updates.services.scheduling import (
    advance_rollout,
    expire_deployments,
    start_due_rollout,
)
from apps.updates.services.signing import refresh_signing
from apps.updates.services.superseding import SUPERSEDE_TASK, supersede_devices
from apps.updates.services.uploads import remove_expired_uploads

START_TASK = "updates.start_due_rollout"


@org_task(ADVANCE_TASK, permission=PLATFORM)
def advance(actor: Actor, rollout_id: str) -> None:
    """Judges one rollout's gate, woken by whatever moved its devices."""
    advance_rollout(actor, UUID(rollout_id))


@org_task("updates.expire_deployments", permission=PLATFORM, every_seconds=5)
def expire(actor: Actor) -> None:
    """Gives up on devices past their deadline.

    In a transaction of its own: it locks deployments, and rollouts are locked before those.
    """
    expire_deployments(actor)


@org_task("updates.sweep_rollouts", permission=PLATFORM, every_seconds=5)
def sweep(actor: Actor) -> None:
    """Finds what no wake-up told, and what only the clock says."""
    for rollout_id in list_due_rollout_ids(actor):
        wake(START_TASK, actor, rollout_id=str(rollout_id))
    rollout_ids = list_live_rollout_ids(actor)
    hold_rollouts(actor, rollout_ids)
    for rollout_id in rollout_ids:
        advance_rollout(actor, rollout_id)


@org_task("updates.sample_rollouts", permission=PLATFORM, every_seconds=15)
def sample(actor: Actor) -> None:
    """Looks at metrics again: they go bad while nothing is counted, as in a phase that soaks."""
    rollout_ids = list_measured_rollout_ids(actor)
    hold_rollouts(actor, rollout_ids)
    for rollout_id in rollout_ids:
        advance_rollout(actor, rollout_id, is_sampling=True)


@org_task(JOIN_TASK, permission=PLATFORM)
def join(actor: Actor, rollout_id: str) -> None:
    """Lets devices into one dynamic rollout; in a transaction of its own, for it can be many."""
    join_rollout(actor, UUID(rollout_id))


@org_task("updates.sweep_joining", permission=PLATFORM, every_seconds=15)
def sweep_joining(actor: Actor) -> None:
    """Finds devices that match now and that no event told of."""
    for rollout_id in list_dynamic_rollout_ids(actor):
        wake(JOIN_TASK, actor, rollout_id=str(rollout_id))


@org_task(SUPERSEDE_TASK, permission=PLATFORM)
def supersede(actor: Actor, rollout_id: str) -> None:
    """Lets devices leave one rollout whose place a newer one has taken; in its own transaction."""
    supersede_devices(actor, UUID(rollout_id))


@org_task("updates.sweep_superseded", permission=PLATFORM, every_seconds=30)
def sweep_superseded(actor: Actor) -> None:
    """Finds devices that wait for what a newer rollout brings, and that no event told of."""
    for rollout_id in list_superseded_rollout_ids(actor):
        wake(SUPERSEDE_TASK, actor, rollout_id=str(rollout_id))


@org_task(START_TASK, permission=PLATFORM)
def start_due(actor: Actor, rollout_id: str) -> None:
    """Starts one rollout whose time has come; in a transaction of its own, for it can be large."""
    start_due_rollout(actor, UUID(rollout_id))


@org_task("updates.remove_abandoned_uploads", permission=PLATFORM, every_seconds=3600)
def clean_incoming(actor: Actor) -> None:
    """Removes what uploads left behind whose process died, and those that nobody continued."""
    remove_expired_uploads(actor)
    remove_abandoned_uploads(actor)


@org_task("updates.clean_up_storage", permission=PLATFORM, every_seconds=3600)
def clean_up(actor: Actor) -> None:
    """Removes what the organization's settings let go and nothing uses."""
    clean_up_storage(actor)


@org_task(DELIVER_TASK, permission=PLATFORM, every_seconds=30)
def send_mails(actor: Actor) -> None:
    """Sends mails about rollouts that are due, new ones and those to be tried again."""
    send_notifications(actor)


@org_task("updates.refresh_signing", permission=PLATFORM, every_seconds=600)
def refresh(actor: Actor) -> None:
    """Signs snapshot and timestamp of the TUF repository anew, long before they expire."""
    refresh_signing(actor)
