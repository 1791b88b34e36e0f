"""The sweep, which wakes each periodic task for each organization; exports and erasure."""

import time

from celery import shared_task
from django.core.cache import cache

from apps.core.actors import Actor
from apps.core.authz import PLATFORM
from apps.core.tasks import org_task, send, sweeps
from apps.organizations.selectors import list_organization_ids
from apps.organizations.services.deletion import purge_organization
from apps.organizations.services.exports import (
    EXPORT_TASK,
    continue_export,
    remove_old_exports,
)

SWEEP_TASK = "organizations.sweep"


@shared_task(name=SWEEP_TASK, ignore_result=True, soft_time_limit=50, time_limit=60)
def sweep() -> None:
    """Wakes what is due. Beat calls it every few seconds; wake-ups of the same work coalesce."""
    due = [s for s in sweeps() if _is_due(s.name, s.every_seconds)]
    if not due:
        return
    for organization_id in list_organization_ids():
        for task in due:
            send(task.name, str(organization_id), {})


@org_task(EXPORT_TASK, permission=PLATFORM, every_seconds=60, at_standstill=True)
def export(actor: Actor) -> None:
    """Writes the next pieces of a running export; also found by the sweep, if a worker died."""
    continue_export(actor)


@org_task(
    "organizations.remove_old_exports",
    permission=PLATFORM,
    every_seconds=3600,
    at_standstill=True,
)
def clean_exports(actor: Actor) -> None:
    """Removes archives that were there for a week."""
    remove_old_exports(actor)


@org_task(
    "organizations.purge_organization", permission=PLATFORM, every_seconds=60, at_standstill=True
)
def purge(actor: Actor) -> None:
    """Erases the organization once its time of grace is over."""
    purge_organization(actor)


def _is_due(name: str, every_seconds: int) -> bool:
    """Whether this interval's turn has not been taken yet, by this worker or another."""
    turn = int(time.time()) // every_seconds
    return bool(cache.add(f"sweep:{name}:{turn}", 1, timeout=every_seconds * 2))
