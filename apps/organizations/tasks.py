"""The sweep: wakes each periodic task for each organization."""

import time

from celery import shared_task
from django.core.cache import cache

from apps.core.tasks import send, sweeps
from apps.organizations.selectors import list_organization_ids

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


def _is_due(name: str, every_seconds: int) -> bool:
    """Whether this interval's turn has not been taken yet, by this worker or another."""
    turn = int(time.time()) // every_seconds
    return bool(cache.add(f"sweep:{name}:{turn}", 1, timeout=every_seconds * 2))
