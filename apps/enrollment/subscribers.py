"""What enrollment does when something happens to devices."""

from apps.core.actors import Actor
from apps.devices.types import DeviceDecommissioned
from apps.enrollment.services.certificates import revoke_certificates
from apps.events.services.relay import subscribe


@subscribe(DeviceDecommissioned)
def end_identity(actor: Actor, event: DeviceDecommissioned) -> None:
    """A device that is taken out loses its certificates, and its stream."""
    revoke_certificates(actor, event.device_id, reason="decommissioned")
