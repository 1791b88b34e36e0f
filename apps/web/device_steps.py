"""The steps of one device on its way through an update, as its bar shows them."""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.updates.domain.states import ACTIVE_DEPLOYMENT_STATES, DeploymentState

D = DeploymentState
# Each step with the states in which a device is at it, in order.
STEPS: tuple[tuple[str | Promise, tuple[DeploymentState, ...]], ...] = (
    (gettext_lazy("queued"), (D.WAITING,)),
    (gettext_lazy("downloading"), (D.OFFERED, D.DOWNLOADING)),
    (gettext_lazy("verified"), (D.DOWNLOADED,)),
    (gettext_lazy("installing"), (D.INSTALLING,)),
    (gettext_lazy("rebooting"), (D.REBOOTING,)),
    (gettext_lazy("health check"), (D.VERIFYING,)),
    (gettext_lazy("done"), (D.SUCCEEDED,)),
)
_VERIFIED, _DONE = 2, 6
# At which step a device is that gives one of these: docs/reference/reasons.md.
_DOWNLOAD = ("digest_mismatch", "size_mismatch", "metadata_refused", "metadata_unavailable")
_HEALTH = ("verify_failed", "agent_rolled_back")
_REBOOT = ("reboot_failed",)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `state` is past, now, failed, or next."""

    word: str
    state: str


@dataclass(frozen=True, slots=True)
class Way:
    """A device's steps, and the same in words for those who do not see the bar."""

    steps: tuple[Step, ...]
    label: str


def way_of(deployment: Any) -> Way:
    """Where a deployment stands on its way. What nobody told is not shown as done."""
    state = DeploymentState(deployment.state)
    if state is D.SUCCEEDED:
        return _way(deployment, _DONE + 1, "past")
    if state in (D.WAITING, *ACTIVE_DEPLOYMENT_STATES):
        place = next(n for n, (_word, states) in enumerate(STEPS) if state in states)
        return _way(deployment, place, "now")
    return _way(deployment, _stopped_at(deployment), "failed")


def _stopped_at(deployment: Any) -> int:
    """The step that did not end: as its reason says it, else the first that nobody has told of."""
    reason = deployment.reason_code
    if reason in _DOWNLOAD:
        return 1
    if reason in _HEALTH:
        return 5
    if reason in _REBOOT:
        return 4
    if deployment.downloaded_at is not None:
        return _VERIFIED + 1
    return 1 if deployment.started_at is not None else 0


def _way(deployment: Any, place: int, here: str) -> Way:
    steps = tuple(
        Step(_said(deployment, number, str(word)), _state(number, place, here))
        for number, (word, _states) in enumerate(STEPS)
    )
    if place > _DONE:
        return Way(steps, _("all steps are done"))
    words = _("stopped at: %(step)s") if here == "failed" else _("now: %(step)s")
    return Way(steps, words % {"step": steps[place].word})


def _said(deployment: Any, number: int, word: str) -> str:
    """The word, with how far the download is."""
    if number == 1 and deployment.state == D.DOWNLOADING:
        return f"{word} {deployment.progress_percent} %"
    return word


def _state(number: int, place: int, here: str) -> str:
    if number < place:
        return "past"
    return here if number == place else "next"
