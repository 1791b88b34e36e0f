"""The web UI: every page and form, with foreign ids in address, query and fields."""

from fleetd.isolation.pages import Page, PageWalk, pages
from fleetd.isolation.report import DoorReport
from fleetd.isolation.web_calls import session_caller
from fleetd.isolation.world import World


def walk_ui(world: World, report: DoorReport, chosen: list[Page] | None = None) -> None:
    """Walks the pages as a signed-in person."""
    caller = session_caller(world.ours, report)
    walk = PageWalk(world, caller, world.theirs.checksum(), few=False)
    for page in pages(of_admin=False) if chosen is None else chosen:
        report.begin(str(page))
        walk.walk(page)
