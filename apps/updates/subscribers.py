"""What updates does when something happens to devices."""

from apps.core.actors import Actor
from apps.core.tasks import wake
from apps.devices.types import (
    DeviceApproved,
    DeviceDecommissioned,
    DeviceGroupChanged,
    DeviceRegistered,
    DeviceReleased,
    DeviceUpdated,
)
from apps.events.services.relay import subscribe
from apps.events.types import Event
from apps.updates.domain.states import FAILED_DEPLOYMENT_STATES
from apps.updates.selectors.rollouts import list_dynamic_rollout_ids
from apps.updates.selectors.superseding import list_superseded_rollout_ids
from apps.updates.services.holds import quarantine_failing_device
from apps.updates.services.joining import JOIN_TASK
from apps.updates.services.rollbacks import note_rollback_end
from apps.updates.services.scheduling import halt_rollouts_of, skip_device
from apps.updates.services.superseding import SUPERSEDE_TASK
from apps.updates.types import (
    DeploymentFinished,
    DevicesJoined,
    PhaseOpened,
    ReleaseRecalled,
    RolloutCancelled,
    RolloutCompleted,
    RolloutHalted,
    RolloutStarted,
)


@subscribe(DeviceDecommissioned)
def skip_decommissioned_device(actor: Actor, event: DeviceDecommissioned) -> None:
    """A device that was taken out holds up no rollout."""
    skip_device(actor, event.device_id)


@subscribe(DeploymentFinished)
def quarantine_device_that_keeps_failing(actor: Actor, event: DeploymentFinished) -> None:
    """Rollouts leave a device alone that failed again and again."""
    if event.state in FAILED_DEPLOYMENT_STATES:
        quarantine_failing_device(actor, event.device_id)


@subscribe(DeviceRegistered, DeviceApproved, DeviceUpdated, DeviceReleased, DeviceGroupChanged)
def let_devices_join(actor: Actor, _event: Event) -> None:
    """What happened may have made a device match a dynamic rollout."""
    for rollout_id in list_dynamic_rollout_ids(actor):
        wake(JOIN_TASK, actor, rollout_id=str(rollout_id))


@subscribe(RolloutStarted, PhaseOpened, DevicesJoined)
def take_the_place_of_older_rollouts(actor: Actor, _event: Event) -> None:
    """It is the turn of further devices: what waits for them in older rollouts may be over."""
    for rollout_id in list_superseded_rollout_ids(actor):
        wake(SUPERSEDE_TASK, actor, rollout_id=str(rollout_id))


@subscribe(RolloutCompleted, RolloutHalted, RolloutCancelled)
def note_end_of_rollback(
    actor: Actor, event: RolloutCompleted | RolloutHalted | RolloutCancelled
) -> None:
    """The rollout that was rolled back learns how that ended."""
    note_rollback_end(actor, event.rollout_id)


@subscribe(ReleaseRecalled)
def halt_rollouts_of_recalled_release(actor: Actor, event: ReleaseRecalled) -> None:
    """Nothing goes on installing a release that was taken back."""
    halt_rollouts_of(actor, event.release_id, f"the release was recalled: {event.reason}"[:300])
