"""The walk as a whole: builds the world, then goes through the doors one after the other."""

from collections.abc import Callable

from django.db import connections

from fleetd.isolation.admin import walk_admin
from fleetd.isolation.report import DoorReport
from fleetd.isolation.rest import walk_rest
from fleetd.isolation.rpc import walk_rpc
from fleetd.isolation.sql import walk_sql
from fleetd.isolation.tasks import walk_tasks
from fleetd.isolation.ui import walk_ui
from fleetd.isolation.websocket import walk_websocket
from fleetd.isolation.world import World, build_world
from fleetd.prepare import prepare_content

Walker = Callable[[World, DoorReport], None]

WALKERS: dict[str, Walker] = {
    "rest": walk_rest,
    "rpc": walk_rpc,
    "ui": walk_ui,
    "admin": walk_admin,
    "websocket": walk_websocket,
    "sql": walk_sql,
    "tasks": walk_tasks,
}


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
    for door in doors:
        if door in WALKERS:
            reports.append(walk_door(door, world, say))
    return reports


def walk_door(door: str, world: World, say: Callable[[str], None]) -> DoorReport:
    """Walks one door."""
    report = DoorReport(door, say=say)
    with report.timed():
        WALKERS[door](world, report)
    return report


def close() -> None:
    """Lets go of the database."""
    connections.close_all()
