"""The chart of a rollout: how many devices had succeeded and failed by when."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render

from apps.core.authz import needs
from apps.core.web import OrgRequest, OrgView
from apps.updates.domain.verdict import summary
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.course import Course, Point, read_course
from apps.updates.selectors.rollouts import get_rollout
from apps.updates.ui.event_looks import look_of

if TYPE_CHECKING:
    from apps.updates.models import Rollout

# The drawing's own units; it is stretched to the width that there is.
WIDTH, HEIGHT = 1200, 200
ROWS = 12


class RolloutChart(OrgView):
    """The chart alone."""

    @needs(VIEW_ROLLOUTS)
    def get(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """The part alone."""
        rollout = get_rollout(request.actor, rollout_id)
        context = {"rollout": rollout, **chart_context(request, rollout)}
        return render(request, "updates/rollout_chart.html", context)


def chart_context(request: OrgRequest, rollout: "Rollout") -> dict[str, Any]:
    """Lines, marks and the same as a table; nothing before the start."""
    course = read_course(request.actor, rollout.id)
    if not course.points:
        return {"chart": None}
    first, last = course.points[0], course.points[-1]
    most = max(last.succeeded + last.failed, 1)
    x = _x(first.time, last.time)
    return {
        "chart": {
            "width": WIDTH,
            "height": HEIGHT,
            "most": most,
            "total": course.total,
            "first": first,
            "last": last,
            "succeeded": _line(course, x, most, lambda point: point.succeeded),
            "succeeded_area": _area(course, x, most, lambda point: point.succeeded),
            "failed": _line(course, x, most, lambda point: point.failed),
            "marks": [_mark(mark, x(mark.time), n) for n, mark in enumerate(course.marks, 1)],
            "rows": _rows(course.points),
        }
    }


def _x(begin: datetime, end: datetime) -> Callable[[datetime], int]:
    span = (end - begin).total_seconds()
    return lambda time: round(WIDTH * min(max((time - begin).total_seconds() / span, 0.0), 1.0))


def _line(
    course: Course, x: Callable[[datetime], int], most: int, number: Callable[[Point], int]
) -> str:
    """Points of a polyline; the highest touches the top."""
    places = [
        f"{x(point.time)},{HEIGHT - round(HEIGHT * number(point) / most)}"
        for point in course.points
    ]
    return " ".join(places)


def _area(
    course: Course, x: Callable[[datetime], int], most: int, number: Callable[[Point], int]
) -> str:
    return f"0,{HEIGHT} {_line(course, x, most, number)} {WIDTH},{HEIGHT}"


def _mark(mark: Any, x: int, number: int) -> dict[str, Any]:
    tone, icon = look_of(mark.type)
    text = summary(mark.type, mark.data)
    return {
        "number": number,
        "x": x,
        "time": mark.time,
        "tone": tone,
        "icon": icon,
        "text": text,
        "who": mark.actor_label,
    }


def _rows(points: tuple[Point, ...]) -> list[Point]:
    """Some of the points, evenly, with the last one."""
    step = max((len(points) - 1) // ROWS, 1)
    return list(points[::-step][:ROWS])
