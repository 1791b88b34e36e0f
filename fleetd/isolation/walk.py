"""The walk as a whole: builds the world, then goes through the doors one after the other."""

from collections.abc import Callable

from django.db import connections

from fleetd.isolation.admin import walk_admin
from fleetd.isolation.report import DoorReport
from fleetd.isolation.rest import walk_rest
from fleetd.isolation.rpc import walk_rpc
from fleetd.isolation.sights import walk_sights
from fleetd.isolation.sql import walk_sql
from fleetd.isolation.tasks import walk_tasks
from fleetd.isolation.ui import walk_ui
from fleetd.isolation.websocket import walk_websocket
from fleetd.isolation.world import World, build_world
from fleetd.prepare import prepare_content

Walker = Callable[[World, DoorReport], None]

# In this order. What is said over real connections is not taken back, and the refusals of it stand
# in the audit trail of ours with the ids that were sent: pages are looked at before.
WALKERS: dict[str, Walker] = {
    "rest": walk_rest,
    "ui": walk_ui,
    "admin": walk_admin,
    "rpc": walk_rpc,
    "websocket": walk_websocket,
    "sql": walk_sql,
    "tasks": walk_tasks,
}
# Doors at which lists and counters are looked at before and after theirs has grown.
SEEN = {"rest", "ui", "admin"}


def walk(doors: list[str], say: Callable[[str], None]) -> list[DoorReport]:
    """Builds two organizations in the database that the settings name, and walks these doors."""
    say("building two organizations")
    prepare_content()
    built = DoorReport("world")
    with built.timed():
        world = build_world()
    for side in (world.ours, world.theirs):
        for name, why in side.unfilled.items():
            built.skip(f"table {name}", f"could not be filled: {why}")
    reports = [built]
    if SEEN & set(doors):
        growth = DoorReport("growth", say=say)
        with growth.timed():
            walk_sights(world, growth, doors)
        reports.append(growth)
    return reports + [walk_door(door, world, say) for door in WALKERS if door in doors]


def walk_door(door: str, world: World, say: Callable[[str], None]) -> DoorReport:
    """Walks one door."""
    report = DoorReport(door, say=say)
    with report.timed():
        WALKERS[door](world, report)
    return report


def close() -> None:
    """Lets go of the database."""
    connections.close_all()
