"""Tasks: each with ids of the other organization, and in an organization that is not its own."""

import inspect
from typing import Any

from celery import current_app
from django.apps import apps

from apps.core.errors import FleetdError
from apps.core.tenancy import TenantMismatch, tenant
from fleetd.celery import app
from fleetd.isolation.declarations import TASKS_WITHOUT_ORGANIZATION
from fleetd.isolation.positions import foreign_ids
from fleetd.isolation.report import DoorReport
from fleetd.isolation.rest import changed_tables
from fleetd.isolation.web_calls import Never, undone
from fleetd.isolation.world import World


def all_tasks() -> dict[str, Any]:
    """Every task of the installed apps by name: Celery has some of its own."""
    app.loader.import_default_modules()
    tasks = current_app.tasks
    return {
        name: task
        for name, task in sorted(tasks.items())
        if apps.get_containing_app_config(task.run.__module__) is not None
    }


class TaskWalk:
    """Walks tasks as the worker runs them."""

    def __init__(self, world: World, report: DoorReport) -> None:
        self.world, self.report = world, report
        self.before = world.theirs.checksum()

    def walk(self, name: str, task: Any) -> None:
        """One task: with foreign arguments, and from within another organization."""
        self.report.begin(name)
        function = inspect.unwrap(task.run)
        arguments = list(inspect.signature(function).parameters)[1:]
        for argument in arguments:
            self._foreign(name, task, argument, arguments)
        if not arguments:
            with undone():
                self._run(task, {})
                self._look(name)
        self._mismatched(name, task, arguments)

    def _foreign(self, name: str, task: Any, argument: str, arguments: list[str]) -> None:
        """Our organization with ids of theirs: as with ids that never were."""
        base = {each: str(self.world.ours.id) for each in arguments}

        def ask(value: str) -> tuple[str, str]:
            with undone():
                said = self._run(task, {**base, argument: value})
                self._look(f"{name} {argument}")
            return said, ""

        never = Never(ask)
        for kind, value in foreign_ids(self.world.theirs, argument).items():
            got, wanted = ask(value), never.like(value)
            if got != wanted:
                self.report.leak(f"{name} {argument} = {kind}", f"{got[0]}, not {wanted[0]}")

    def _mismatched(self, name: str, task: Any, arguments: list[str]) -> None:
        """Work of ours never turns into work of theirs."""
        self.report.calls += 1
        values = {each: str(self.world.theirs.id) for each in arguments}
        try:
            with undone(), tenant(self.world.ours.id):
                task.run(str(self.world.theirs.id), **values)
        except TenantMismatch:
            return
        except Exception as error:  # noqa: BLE001  it must be refused for this reason and no other
            self.report.leak(name, f"enters another organization before it ends: {error}"[:120])
            return
        self.report.leak(name, "works in another organization than the one that is open")

    def _run(self, task: Any, arguments: dict[str, str]) -> str:
        """How it ends: a word."""
        self.report.calls += 1
        try:
            task.run(str(self.world.ours.id), **arguments)
        except FleetdError as error:
            return error.code
        except Exception as error:  # noqa: BLE001  what a task raises is part of what is compared
            return type(error).__name__
        return "done"

    def _look(self, where: str) -> None:
        changed = changed_tables(self.before, self.world.theirs.checksum())
        if changed:
            self.report.leak(where, f"changes rows of theirs in {', '.join(changed)}")


def walk_tasks(world: World, report: DoorReport, chosen: dict[str, Any] | None = None) -> None:
    """Walks the tasks that work for one organization; the others stand on a list."""
    walk = TaskWalk(world, report)
    for name, task in (all_tasks() if chosen is None else chosen).items():
        first = next(iter(inspect.signature(task.run, follow_wrapped=False).parameters), "")
        if first == "organization_id":
            walk.walk(name, task)
        elif name not in TASKS_WITHOUT_ORGANIZATION:
            report.skip(name, "takes no organization and stands on no list")
        else:
            report.begin(name)
