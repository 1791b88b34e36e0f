"""Work for one organization, woken after commit and swept again."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from celery import current_app
from django.core.cache import cache
from kombu.exceptions import OperationalError

from apps.core import tasks
from apps.core.actors import Actor, ActorKind, system_actor
from apps.core.tenancy import TenantMismatch
from apps.devices.models import Device
from apps.organizations.tasks import sweep
from tests.devices.support import roll_back
from tests.factories import Cast

Sent = list[tuple[str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def _empty_cache(redis_url: str) -> None:
    cache.clear()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What reached the broker."""
    found: Sent = []
    monkeypatch.setattr(
        current_app, "send_task", lambda name, kwargs, **_: found.append((name, kwargs))
    )
    return found


SEEN: list[Any] = []


@tasks.org_task("tests.count_devices", every_seconds=3600)
def count_devices(actor: Actor, prefix: str = "") -> None:
    """Counts the devices that it sees."""
    rows = Device.objects.for_org(actor.organization_id).filter(name__startswith=prefix)
    SEEN.append((actor.kind, actor.organization_id, rows.count()))


SWEEP = tasks._SWEEPS.pop("tests.count_devices")


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The task, swept as long as the test runs."""
    SEEN.clear()
    monkeypatch.setitem(tasks._SWEEPS, SWEEP.name, SWEEP)
    return count_devices


def test_a_task_runs_in_its_organization_as_the_platform(
    acme: Cast, globex: Cast, counting: Any
) -> None:
    counting(str(acme.id))
    counting(str(globex.id), prefix="acme")
    assert SEEN == [(ActorKind.SYSTEM, acme.id, 2), (ActorKind.SYSTEM, globex.id, 0)]


def test_every_task_is_limited_and_survives_its_worker() -> None:
    ours = {n: t for n, t in current_app.tasks.items() if not n.startswith("celery.")}
    assert {"events.relay_outbox", "devices.sweep_offline", "organizations.sweep"} <= set(ours)
    for task in ours.values():
        assert task.soft_time_limit
        assert task.time_limit > task.soft_time_limit
        assert task.acks_late
        assert task.reject_on_worker_lost


def test_waking_happens_after_commit_and_once(
    acme: Cast, sent: Sent, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    actor = system_actor(acme.id)
    with django_capture_on_commit_callbacks(execute=True):
        tasks.wake("tests.work", actor, rollout_id="r1")
        tasks.wake("tests.work", actor, rollout_id="r1")
        tasks.wake("tests.work", actor, rollout_id="r2")
        roll_back(acme.id, lambda: tasks.wake("tests.work", actor, rollout_id="r3"))
        assert sent == []
    assert [kwargs["rollout_id"] for _, kwargs in sent] == ["r1", "r2"]
    assert {kwargs["organization_id"] for _, kwargs in sent} == {str(acme.id)}


def test_work_that_has_begun_can_be_woken_again(acme: Cast, sent: Sent, counting: Any) -> None:
    for _ in range(2):
        tasks.send("tests.count_devices", str(acme.id), {})
        counting(str(acme.id))
    assert len(sent) == 2


@pytest.mark.parametrize("failure", [OperationalError, ConnectionError, OSError])
def test_a_broker_that_is_away_is_no_failure(
    acme: Cast, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise failure("away")

    monkeypatch.setattr(current_app, "send_task", away)
    tasks.send("tests.work", str(acme.id), {})


def test_the_sweep_wakes_each_task_for_each_organization_once_a_turn(
    acme: Cast, globex: Cast, sent: Sent, counting: Any
) -> None:
    sweep()
    sweep()
    woken = [UUID(k["organization_id"]) for name, k in sent if name == "tests.count_devices"]
    assert sorted(woken) == sorted([acme.id, globex.id])


def test_a_task_cannot_run_inside_another_organization(
    acme: Cast, globex: Cast, counting: Any, in_acme: None
) -> None:
    with pytest.raises(TenantMismatch):
        counting(str(globex.id))
