"""What happened in a rollout: its log, and what people did or were refused, in one list."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.audit.selectors import list_entries
from apps.core.authz import needs
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView
from apps.updates.domain.engine import COUNTED
from apps.updates.domain.verdict import summary
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.moments import list_moments
from apps.updates.selectors.rollouts import get_rollout
from apps.updates.ui.event_looks import look_of

if TYPE_CHECKING:
    from apps.updates.models import Rollout

PAGE_SIZE = 20
# What a person does is written into both books in one transaction, this far apart at most.
SAME = timedelta(seconds=2)
DECISIONS, PEOPLE, ALL = "", "people", "all"
CHIPS: tuple[tuple[str, str | Promise], ...] = (
    (DECISIONS, gettext_lazy("Decisions")),
    (PEOPLE, gettext_lazy("People")),
    (ALL, gettext_lazy("Everything")),
)


@dataclass(slots=True)
class Moment:
    """One line."""

    key: str
    time: datetime
    tone: str
    icon: str
    text: str
    actor: str
    source: str = ""
    number: int = 0


class RolloutTimeline(OrgView):
    """The list alone."""

    @needs(VIEW_ROLLOUTS)
    def get(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """The part alone."""
        rollout = get_rollout(request.actor, rollout_id)
        context = {"rollout": rollout, **timeline_context(request, rollout)}
        return render(request, "updates/rollout_timeline.html", context)


def timeline_context(request: OrgRequest, rollout: "Rollout") -> dict[str, Any]:
    """A page of the list, the newest first, with the address of the next one."""
    kind = request.GET.get("log", DECISIONS)
    before = _moment(request.GET.get("log_before", ""))
    found = sorted(_found(request, rollout, kind, before), key=lambda m: m.time, reverse=True)
    page = _page(found)
    older = _query(kind, page[-1].time) if page else ""
    return {
        "moments": page,
        "log_chips": [(urlencode({"log": k}), word, k == kind) for k, word in CHIPS],
        "log_query": urlencode(
            {"log": kind, **({"log_before": before.isoformat()} if before else {})}
        ),
        "older": older if len(found) > len(page) else "",
        "is_older": before is not None,
    }


def _query(kind: str, before: datetime | None) -> str:
    """The address of this page of this list."""
    return urlencode({"log": kind, **({"log_before": before.isoformat()} if before else {})})


def _page(found: list[Moment]) -> list[Moment]:
    """The first ones; what happened in the same moment as the last of them stays with it."""
    page = found[:PAGE_SIZE]
    return page + [each for each in found[PAGE_SIZE:] if each.time == page[-1].time]


def _found(
    request: OrgRequest, rollout: "Rollout", kind: str, before: datetime | None
) -> list[Moment]:
    """One more than a page of each book."""
    events = list_moments(
        request.actor,
        rollout.id,
        limit=PAGE_SIZE + 1,
        before=before,
        without=() if kind == ALL else (COUNTED,),
    )
    moments = [_logged(event) for event in events]
    if request.actor.has_perm("audit.view_entries"):
        _merge(moments, _entries(request, rollout, before))
    return [m for m in moments if "@" in m.actor or m.source] if kind == PEOPLE else moments


def _entries(request: OrgRequest, rollout: "Rollout", before: datetime | None) -> list[Any]:
    asked = PageRequest(size=PAGE_SIZE + 1)
    return list_entries(request.actor, asked, object_id=str(rollout.id), until=before).items


def _merge(moments: list[Moment], entries: list[Any]) -> None:
    """Says through which door people did what the log has, and adds what it has not.

    Operations on a rollout take turns, and each writes its log before its entry: what a person's
    entry stands for was logged since the entry before it.
    """
    logged, since = list(moments), datetime.min.replace(tzinfo=UTC)
    for entry in sorted(entries, key=lambda each: each.time):
        if entry.actor_kind == "system":
            continue
        begin = max(since, entry.time - SAME)
        done = [m for m in logged if m.actor == entry.actor_label and begin < m.time <= entry.time]
        if entry.result == "success" and done:
            since = entry.time
            for moment in done:
                moment.source = entry.source
        else:
            moments.append(_audited(entry))


def _logged(event: Any) -> Moment:
    tone, icon = look_of(event.type)
    return Moment(
        key=f"event-{event.sequence}",
        time=event.time,
        tone=tone,
        icon=icon,
        text=summary(event.type, event.data),
        actor=event.actor_label,
        number=event.sequence,
    )


def _audited(entry: Any) -> Moment:
    words = _words(entry.action)
    tone, icon = "quiet", "user"
    if entry.result != "success":
        tone, icon, words = "bad", "ban", _("%(words)s: refused") % {"words": words}
    key = f"entry-{entry.id}"
    return Moment(key, entry.time, tone, icon, words, entry.actor_label, entry.source)


def _words(action: str) -> str:
    """An action's name as words."""
    words = action.rpartition(".")[2].replace("_", " ")
    return words[:1].upper() + words[1:]


def _moment(text: str) -> datetime | None:
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return found if found and found.tzinfo else None
