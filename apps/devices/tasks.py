"""The sweep for deadlines, as a task."""

from apps.core.actors import Actor
from apps.core.authz import PLATFORM
from apps.core.tasks import org_task, wake
from apps.devices.services.live import SWEEP_BATCH, sweep_offline

SWEEP_TASK = "devices.sweep_offline"


@org_task(SWEEP_TASK, permission=PLATFORM, every_seconds=5, at_standstill=True)
def sweep(actor: Actor) -> None:
    """Marks devices offline whose deadline has passed."""
    if sweep_offline(actor) == SWEEP_BATCH:
        wake(SWEEP_TASK, actor)
