"""What people of ours see stays the same, however much theirs adds: lists, counters, exports."""

from collections.abc import Callable, Collection, Iterator
from functools import partial

from apps.core.tenancy import tenant
from fleetd.isolation.answers import Answer, difference, shape
from fleetd.isolation.furniture import grow
from fleetd.isolation.pages import Page, PageWalk, pages
from fleetd.isolation.report import DoorReport
from fleetd.isolation.rest import RestWalk, rest_routes
from fleetd.isolation.web_calls import Caller, key_caller, session_caller, undone
from fleetd.isolation.world import World

ADDED = 50
# What theirs is asked for by name, in searches.
SEARCHES = ("q", "search", "filter", "term")

Sight = tuple[str, Callable[[], Answer]]


def walk_sights(world: World, report: DoorReport, doors: Collection[str]) -> None:
    """Looks at everything, lets theirs grow, and looks again."""
    seen = []
    for where, look in sights(world, report, doors):
        report.begin(where)
        with undone():  # looking leaves traces of its own: refusals are audited
            first, second = shape(look(), world), shape(look(), world)
        # What differs each time cannot be compared; it is looked at for marks.
        seen.append((where, look, first if first == second else None))
    theirs = world.theirs
    with tenant(theirs.id):
        grow(theirs.furnished.actor, theirs.mark, theirs.furnished.machine, objects=ADDED)
    theirs.note_rows()
    for where, look, before in seen:
        report.begin(where)
        with undone():
            answer = look()
        if marks := world.marks_in(answer.whole, frozenset()):
            report.leak(where, f"shows {', '.join(marks[:3])}")
        after = shape(answer, world)
        if before is not None and after != before:
            report.leak(where, f"changes when theirs grows: {difference(after, before)}")


def sights(world: World, report: DoorReport, doors: Collection[str]) -> Iterator[Sight]:
    """Every list, page and export of the chosen doors, with own ids where it needs some."""
    # Both come before the first look: that somebody has signed in shows in lists of ours.
    key, session = key_caller(world.ours, report), session_caller(world.ours, report)
    if "rest" in doors:
        yield from _of_rest(world, key)
    for door, of_admin in (("ui", False), ("admin", True)):
        if door in doors:
            yield from _of_pages(world, session, of_admin=of_admin)


def _of_rest(world: World, caller: Caller) -> Iterator[Sight]:
    walk = RestWalk(world, caller, is_first=True, before=world.theirs.checksum())
    for route in rest_routes():
        if route.method != "GET":
            continue
        with undone():
            path = route.address.at(walk.own(route))
        yield f"GET {path}", partial(caller.call, "GET", path, query=walk.body(route))
        if route.operation is not None and not route.address.names:
            yield from _searches(world, caller, path, route.operation.request_class.DESCRIPTOR)


def _searches(world: World, caller: Caller, path: str, request: object) -> Iterator[Sight]:
    names = {field.name for field in request.fields}  # type: ignore[attr-defined]
    for name in names & set(SEARCHES):
        query = {name: world.theirs.mark}
        yield (
            f"GET {path}?{name}=…",
            partial(_searched, world, caller, path, query),
        )


def _of_pages(world: World, caller: Caller, *, of_admin: bool) -> Iterator[Sight]:
    walk = PageWalk(world, caller, world.theirs.checksum(), few=True)
    for page in pages(of_admin=of_admin):
        if page.method != "GET":
            continue
        with undone():
            path = page.address.at(walk.own(page))
        yield f"GET {path}", partial(caller.call, "GET", path)
        if not page.address.names:
            yield from _page_searches(world, caller, page, path)


def _page_searches(world: World, caller: Caller, page: Page, path: str) -> Iterator[Sight]:
    query = dict.fromkeys(SEARCHES, world.theirs.mark)
    yield (
        f"{page} searched",
        partial(_searched, world, caller, path, query),
    )


def _searched(world: World, caller: Caller, path: str, query: dict[str, str]) -> Answer:
    """An answer without the word that was searched for, which it may repeat."""
    answer, mark = caller.call("GET", path, query=query), world.theirs.mark
    return Answer(answer.status, answer.headers.replace(mark, "_"), answer.text.replace(mark, "_"))
