"""What a button of a rollout would do, in words and numbers, before it does it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib.humanize.templatetags.humanize import intcomma
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.core.actors import Actor
from apps.core.authz import needs
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.updates.domain.gate import Counts
from apps.updates.permissions import CANCEL_ROLLOUT, VIEW_ROLLOUTS
from apps.updates.selectors.rollouts import get_rollout
from apps.updates.selectors.stopping import count_stoppable
from apps.updates.services.joining import close_rollout

if TYPE_CHECKING:
    from apps.updates.models import Rollout


@dataclass(frozen=True, slots=True)
class Now:
    """How many devices are where: not begun, at work and still to be stopped, at work, through."""

    waiting: int
    stoppable: int
    active: int
    succeeded: int


class RolloutConsequences(OrgView):
    """The lines of one dialog, counted as it opens."""

    @needs(VIEW_ROLLOUTS)
    def get(self, request: OrgRequest, rollout_id: UUID, what: str) -> HttpResponse:
        """The part alone."""
        if what not in LINES:
            raise Http404
        rollout = get_rollout(request.actor, rollout_id)
        context = {"lines": counted_lines(request.actor, rollout, what)}
        return render(request, "updates/consequences.html", context)


class RolloutClose(OrgView):
    """Lets no further device join."""

    @needs(CANCEL_ROLLOUT)
    def post(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """Closes."""
        done = _("Closed. No further device joins.")
        attempt(request, lambda: close_rollout(request.actor, rollout_id), done)
        return go(request, "rollout", rollout_id)


def counted_lines(actor: Actor, rollout: "Rollout", what: str) -> list[str]:
    """What a button comes to now; nothing for one whose words need no counting."""
    if what not in LINES:
        return []
    counts = sum(rollout.counts(), Counts())
    stoppable = count_stoppable(actor, rollout.id)
    now = Now(counts.waiting, stoppable, counts.active, counts.succeeded)
    return [line for line in LINES[what](now) if line]


def _pause(now: Now) -> Iterable[str]:
    yield _numbered(
        now.waiting,
        ngettext(
            "%(n)s device that has not begun is not offered the release until it is resumed.",
            "%(n)s devices that have not begun are not offered the release until it is resumed.",
            now.waiting,
        ),
    )
    yield _finish(now.active)
    yield _("Gates open no further phase meanwhile; they still halt it when too many fail.")


def _resume(now: Now) -> Iterable[str]:
    yield _numbered(
        now.waiting,
        ngettext(
            "%(n)s device that waits is offered the release again once its phase is open.",
            "%(n)s devices that wait are offered the release again once their phase is open.",
            now.waiting,
        ),
    )
    yield _("Those that are online begin within seconds, the others when they return.")


def _halt(now: Now) -> Iterable[str]:
    yield _never(now.waiting)
    yield _finish(now.active)
    yield _keep(now.succeeded)
    yield _("It cannot be resumed. What can follow is a roll back, or its end.")


def _cancel(now: Now) -> Iterable[str]:
    if not (now.waiting or now.active or now.succeeded):
        yield _("No device has begun, and none will.")
    installing = max(now.active - now.stoppable, 0)
    yield _never(now.waiting)
    yield _numbered(
        now.stoppable,
        ngettext(
            "%(n)s device that downloads stops, and keeps what it runs now.",
            "%(n)s devices that download stop, and keep what they run now.",
            now.stoppable,
        ),
    )
    yield _numbered(
        installing,
        ngettext(
            "%(n)s device that installs finishes: stopping it half-way could break it.",
            "%(n)s devices that install finish: stopping them half-way could break them.",
            installing,
        ),
    )
    yield _keep(now.succeeded)
    yield _("This is its end: it can be neither resumed nor rolled back.")


def _close(now: Now) -> Iterable[str]:
    yield _("Devices that match from now on do not join.")
    left = now.waiting + now.active
    yield _numbered(
        left,
        ngettext(
            "%(n)s device that is in it goes on; then it is complete.",
            "%(n)s devices that are in it go on; then it is complete.",
            left,
        ),
    )


LINES: dict[str, Callable[[Now], Iterable[str]]] = {
    "pause": _pause,
    "resume": _resume,
    "halt": _halt,
    "cancel": _cancel,
    "close": _close,
}


def _never(number: int) -> str:
    text = ngettext(
        "%(n)s device that has not begun never starts.",
        "%(n)s devices that have not begun never start.",
        number,
    )
    return _numbered(number, text)


def _finish(number: int) -> str:
    text = ngettext(
        "%(n)s device that is at it finishes what it does.",
        "%(n)s devices that are at it finish what they do.",
        number,
    )
    return _numbered(number, text)


def _keep(number: int) -> str:
    text = ngettext(
        "%(n)s device that has the release keeps it.",
        "%(n)s devices that have the release keep it.",
        number,
    )
    return _numbered(number, text)


def _numbered(number: int, text: str) -> Any:
    """The sentence with its number; nothing where there is no such device."""
    return text % {"n": intcomma(number)} if number else ""
