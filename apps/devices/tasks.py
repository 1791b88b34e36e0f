"""What is done again and again about devices: the sweep for deadlines, and clearing away."""

from apps.core.actors import Actor
from apps.core.authz import PLATFORM
from apps.core.tasks import org_task, wake
from apps.devices.services.live import SWEEP_BATCH, sweep_offline
from apps.devices.services.presence import REMOVED_AT_ONCE, remove_old_presence

SWEEP_TASK = "devices.sweep_offline"
CLEAN_TASK = "devices.remove_old_presence"


@org_task(SWEEP_TASK, permission=PLATFORM, every_seconds=5, at_standstill=True)
def sweep(actor: Actor) -> None:
    """Marks devices offline whose deadline has passed."""
    if sweep_offline(actor) == SWEEP_BATCH:
        wake(SWEEP_TASK, actor)


@org_task(CLEAN_TASK, permission=PLATFORM, every_seconds=3600)
def clean(actor: Actor) -> None:
    """Forgets when devices were online long ago."""
    if remove_old_presence(actor) >= REMOVED_AT_ONCE:
        wake(CLEAN_TASK, actor)
