"""What updates does when something happens to devices."""

from apps.core.actors import Actor
from apps.devices.types import DeviceDecommissioned
from apps.events.services.relay import subscribe
from apps.updates.services.scheduling import skip_device


@subscribe(DeviceDecommissioned)
def skip_decommissioned_device(actor: Actor, event: DeviceDecommissioned) -> None:
    """A device that was taken out holds up no rollout."""
    skip_device(actor, event.device_id)
