"""The forecast of a rollout in words and bars: a part of its page while it has not started."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apps.core.authz import needs
from apps.core.errors import FleetdError, NotFound, PermissionDenied
from apps.core.web import OrgRequest, OrgView
from apps.updates.domain.forecast import Spread
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.services.forecasts import RolloutForecast, forecast_rollout

WIDTH = 1000
# A mark is seen, however short the time that it stands for.
LEAST_WIDTH = 8
NAMED = 10
MINUTE, HOUR, DAY = 60, 3600, 86400
UNFORESEEN: dict[str, str | Promise] = {
    "approval": gettext_lazy("A phase waits for somebody to open it: nothing is known after that."),
    "confirmation": gettext_lazy(
        "Devices wait until somebody agrees: how long is not known, and taken as not at all."
    ),
    "download_only": gettext_lazy("Devices only download: installing is counted all the same."),
    "control": gettext_lazy("A gate compares with a control group, which a forecast cannot know."),
    "metrics": gettext_lazy("A gate watches what devices report, which a forecast cannot know."),
    "site_limit": gettext_lazy("That sites limit how many work at a time is not counted."),
    "newcomers": gettext_lazy("Devices that match later are not counted."),
}


class RolloutForecastPart(OrgView):
    """What a rollout may be expected to do."""

    @needs(VIEW_ROLLOUTS)
    def get(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """The part alone; what keeps it from being made is said in its place."""
        context: dict[str, Any] = {"rollout_id": rollout_id}
        try:
            context |= shown(forecast_rollout(request.actor, rollout_id))
        except (NotFound, PermissionDenied):
            raise
        except FleetdError as error:
            context["error"] = error.message
        return render(request, "updates/forecast.html", context)


def shown(found: RolloutForecast) -> dict[str, Any]:
    """A forecast as the page says it."""
    outcome = found.outcome
    longest = _longest(found)
    return {
        "found": found,
        "headline": _headline(found),
        "rows": [
            {
                "name": phase.name,
                "devices": phase.devices,
                "words": when(phase.finish),
                "bar": bar(phase.finish, longest),
            }
            for phase in found.phases
        ],
        "scale": [length(0), length(longest / 2), length(longest)],
        "facts": list(_facts(found)),
        "basis": _basis(found),
        "notes": [UNFORESEEN[code] for code in found.unforeseen],
        "late": found.at_risk[:NAMED],
        "late_more": max(found.at_risk_count - len(found.at_risk[:NAMED]), 0),
        "is_blind": not found.known,
        "runs": outcome.runs,
    }


def length(seconds: float) -> str:
    """About how long: in one unit, not more exact than a forecast is."""
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= 1.5 * size:
            value = seconds / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{seconds:.0f} s"


def when(spread: Spread) -> str:
    """When something is over, after the start, in words."""
    if spread.p10 is None:
        return _("not by itself")
    early = length(spread.p10)
    if spread.p50 is None:
        return _("after %(early)s at the earliest, and more likely not") % {"early": early}
    likely = length(spread.p50)
    if spread.p90 is None:
        text = _("after %(early)s at the earliest, likely %(likely)s, and maybe not at all")
        return text % {"early": early, "likely": likely}
    late = length(spread.p90)
    if early == late:
        return _("after about %(likely)s") % {"likely": likely}
    text = _("after %(early)s to %(late)s, most likely %(likely)s")
    return text % {"early": early, "late": late, "likely": likely}


def bar(spread: Spread, longest: float) -> dict[str, Any] | None:
    """Where the band and its middle lie, in thousandths; one without an end reaches the edge."""
    if spread.p10 is None:
        return None
    end = longest if spread.p90 is None else spread.p90
    width = max(_place(end - spread.p10, longest), LEAST_WIDTH)
    start = min(_place(spread.p10, longest), WIDTH - width)
    middle = None if spread.p50 is None else _place(spread.p50, longest)
    return {
        "start": start,
        "width": width,
        "middle": None if middle is None else min(max(middle - 3, start), start + width - 6),
        "is_open": spread.p90 is None,
    }


def _place(seconds: float, longest: float) -> int:
    return round(WIDTH * seconds / longest)


def _longest(found: RolloutForecast) -> float:
    """What the bars are measured by: the latest moment that is known, and room behind it."""
    spreads = [phase.finish for phase in found.phases]
    known = [v for s in spreads for v in (s.p10, s.p50, s.p90) if v is not None]
    has_open = any(spread.p90 is None for spread in spreads)
    return max(max(known, default=HOUR) * (1.25 if has_open else 1.0), 1.0)


def _headline(found: RolloutForecast) -> str:
    finish = when(found.outcome.finish)
    if found.outcome.finish.p10 is None:
        return _("It is not expected to finish by itself.")
    return _("Finished %(when)s.") % {"when": finish}


def _facts(found: RolloutForecast) -> Iterator[tuple[str, str]]:
    outcome = found.outcome
    yield _("Devices that fail"), _range(outcome.failures)
    yield _("The gate halts it"), _share(outcome.halted)
    yield _("It completes by itself"), _share(outcome.completed)
    yield _("Peak download"), _("%(n)s Mbit/s") % {"n": _range(outcome.peak_mbit)}
    word = _("Miss the end time") if found.ends_at else _("Not through in four weeks")
    yield word, _range(outcome.missed)


def _range(spread: Spread) -> str:
    """A figure from its low to its high end."""
    low, middle, high = (_number(value) for value in (spread.p10, spread.p50, spread.p90))
    if low == high:
        return middle
    return _("%(low)s to %(high)s, most likely %(middle)s") % {
        "low": low,
        "high": high,
        "middle": middle,
    }


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.2g}"


def _share(value: float) -> str:
    return _("in %(n)d of 100 runs") % {"n": round(100 * value)}


def _basis(found: RolloutForecast) -> str:
    """What it is made from."""
    if not found.known:
        return _("No device was watched for a quarter of an hour yet.")
    text = _("Based on the history of %(known)s of %(devices)s devices over %(time)s")
    text %= {
        "known": f"{found.known:,}",
        "devices": f"{found.devices:,}",
        "time": _past(found.history_days),
    }
    if found.known < found.devices:
        text = _("%(basis)s; the others were taken as like them") % {"basis": text}
    return f"{text}."


def _past(days: float) -> str:
    """How far back it goes: in days, or shorter where it is less than two."""
    if days < 1.5:
        return length(days * DAY)
    return ngettext("%(n)d day", "%(n)d days", round(days)) % {"n": round(days)}
