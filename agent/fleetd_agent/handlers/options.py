"""What a release may tell the installer of each kind: anything else is refused, never ignored."""

from fleetd_agent.failures import StepFailed
from fleetd_agent.messages import Component

REBOOT = "reboot"


def check_options(component: Component, *known: str) -> None:
    """Raises StepFailed for an option that this kind does not have."""
    unknown = sorted(set(component.options) - {*known, REBOOT})
    if unknown:
        message = f"{component.kind} has no option {unknown[0]!r} on this device"
        raise StepFailed("offer_refused", message)


def lines_of(component: Component, option: str) -> list[str]:
    """The values of an option that holds one per line."""
    return [line for line in component.options.get(option, "").split("\n") if line]
