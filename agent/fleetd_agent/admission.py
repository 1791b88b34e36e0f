"""Whether a deployment may be installed at all, and whether it may begin now."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fleetd_agent.downloads import KEPT
from fleetd_agent.messages import Component, Offer, StepFailed
from fleetd_agent.plan import handler_name
from fleetd_agent.policy import Mode
from fleetd_agent.ports import Clock, Control, Handler
from fleetd_agent.versions import is_older

_ID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a deployment does not go on now, and until when where that is known."""

    reason_code: str
    message: str
    until: datetime | None = None


def is_plain_id(deployment_id: str) -> bool:
    """Whether an id can be the name of a folder, and of nothing above or beside it."""
    return _ID.fullmatch(deployment_id) is not None and deployment_id != KEPT


def check_offer(
    offer: Offer, handlers: Mapping[str, Handler], installed: Mapping[str, str]
) -> None:
    """Raises StepFailed for an offer that this device must not or cannot carry out.

    Called before anything is downloaded, so that a part of a bundle never comes to be installed.
    """
    if not offer.components:
        raise StepFailed("offer_refused", "the release has no components")
    _check_bundle(offer)
    for component in offer.components:
        handler = handlers.get(handler_name(component, handlers))
        if handler is None:
            message = f"this device cannot install {component.kind!r}"
            raise StepFailed("kind_not_supported", message)
        handler.check(component)
        _check_version(offer, component, installed)
    if offer.policy:
        offer.policy.zone()


def _check_bundle(offer: Offer) -> None:
    expected = offer.policy.bundle_sha256 if offer.policy else ()
    offered = [component.sha256 for component in offer.components]
    if expected and sorted(offered) != sorted(item.lower() for item in expected):
        missing = len(set(expected) - set(offered))
        message = f"{missing} of {len(expected)} files of the release were not offered"
        if not missing:
            message = "other files were offered than the release has"
        raise StepFailed("bundle_incomplete", message)


def _check_version(offer: Offer, component: Component, installed: Mapping[str, str]) -> None:
    if offer.policy is None or offer.policy.allow_downgrade:
        return
    present = installed.get(component.name, "")
    if present and is_older(component.version, present):
        message = f"{component.name} {present} is installed, {component.version} is older"
        raise StepFailed("downgrade_refused", message)


def pause_of(control: Control) -> Obstacle | None:
    """The pause that somebody at the device asked for."""
    if not control.is_paused:
        return None
    return Obstacle("paused", "updates are paused on this device: fleetd-agent update resume")


def obstacle_to(offer: Offer, control: Control, clock: Clock) -> Obstacle | None:
    """What stands in the way of changing the machine now."""
    if obstacle := pause_of(control):
        return obstacle
    policy = offer.policy
    if policy is None:
        return None
    if policy.mode == Mode.CONFIRMED and not control.is_approved(offer.deployment_id):
        message = "somebody at the device has to agree: fleetd-agent update approve"
        return Obstacle("waiting_for_confirmation", message)
    return window_obstacle(offer, clock)


def window_obstacle(offer: Offer, clock: Clock) -> Obstacle | None:
    """A window that is closed now, by the device's time corrected by the platform's."""
    now = clock.server_now()
    policy = offer.policy
    if policy is None or policy.is_always_open:
        return None
    if not clock.is_sure:
        return Obstacle("time_unknown", "the platform has not told the time since the start")
    if policy.is_open(now):
        return None
    opening = policy.next_opening(now)
    if opening is None:
        return Obstacle("window_closed", "no window opens within a year")
    local = opening.astimezone(policy.zone())
    return Obstacle("window_closed", f"the window opens at {local:%Y-%m-%d %H:%M %Z}", opening)
