"""Tasks: work that a worker does for one organization. The database holds the work.

`org_task` declares one; `wake` asks for one after commit. A wake-up that is lost costs time, not
work: a task declared with `every_seconds` is also woken for each organization by the sweep.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from uuid import UUID

import structlog
from celery import current_app, shared_task
from django.apps import apps
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from apps.core.actors import Actor, system_actor
from apps.core.authz import Permission, needs
from apps.core.realtime import valkey
from apps.core.tenancy import tenant
from apps.core.transactions import after_commit

log = structlog.get_logger(__name__)

SOFT_LIMIT_SECONDS = 50
HARD_LIMIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Sweep:
    """A task that runs for every organization again and again."""

    name: str
    every_seconds: int


_SWEEPS: dict[str, Sweep] = {}


def org_task(
    name: str,
    *,
    permission: Permission | None = None,
    every_seconds: int | None = None,
    at_standstill: bool = False,
) -> Callable[..., Any]:
    """Declares a task `name` whose function gets the system actor, then its own arguments.

    `permission` says whose work it is: `PLATFORM` where nobody asks for it. A task without one
    fails the test of declarations.

    Where the organization is suspended or being deleted only tasks with `at_standstill` run; sweeps
    find the others' work once it is resumed.

    The function runs inside `tenant(organization)`, one transaction. It must be idempotent: a task
    whose worker dies runs again. Arguments are strings and numbers only.
    """

    def decorate(function: Callable[..., None]) -> Any:
        @wraps(function)
        def run(organization_id: str, **arguments: Any) -> None:
            _forget_wake(name, organization_id, arguments)
            actor = system_actor(UUID(organization_id))
            with tenant(actor.organization_id):
                if at_standstill or is_active(actor.organization_id):
                    function(actor, **arguments)

        if permission is not None:
            needs(permission)(run)
        if every_seconds is not None:
            _SWEEPS[name] = Sweep(name, every_seconds)
        return shared_task(
            name=name,
            ignore_result=True,
            acks_late=True,
            reject_on_worker_lost=True,
            soft_time_limit=SOFT_LIMIT_SECONDS,
            time_limit=HARD_LIMIT_SECONDS,
        )(run)

    return decorate


def is_active(organization_id: UUID) -> bool:
    """Whether the organization is there and neither suspended nor being deleted."""
    organizations = apps.get_model("organizations", "Organization")._default_manager
    return bool(organizations.filter(id=organization_id, status="active").exists())


def sweeps() -> list[Sweep]:
    """All declared sweeps."""
    return list(_SWEEPS.values())


def wake(name: str, actor: Actor, **arguments: Any) -> None:
    """Asks a worker, after commit, to run task `name` for the actor's organization."""
    organization_id = str(actor.organization_id)
    after_commit(lambda: send(name, organization_id, arguments))


def send(name: str, organization_id: str, arguments: dict[str, Any]) -> None:
    """Asks now, unless the same is asked for already and has not begun."""
    try:
        if not valkey().set(_wake_key(name, organization_id, arguments), 1, nx=True, ex=5):
            return
        kwargs = {"organization_id": organization_id, **arguments}
        current_app.send_task(name, kwargs=kwargs, ignore_result=True, retry=False)
    except (OperationalError, RedisError, OSError) as error:
        log.warning("wake_not_sent", task=name, error=str(error))


def _forget_wake(name: str, organization_id: str, arguments: dict[str, Any]) -> None:
    """Before the work reads anything, so that what commits from now on wakes it again."""
    try:
        valkey().delete(_wake_key(name, organization_id, arguments))
    except (RedisError, OSError) as error:
        log.warning("wake_not_cleared", task=name, error=str(error))


def _wake_key(name: str, organization_id: str, arguments: dict[str, Any]) -> str:
    return ":".join(["wake", name, organization_id, *(str(v) for v in arguments.values())])
