"""Rates, numbers in flight and priorities: who starts, when, and how many at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connections

from apps.core.actors import Actor, Source, system_actor
from apps.core.tenancy import tenant
from apps.updates.domain.installation import Installation
from apps.updates.domain.plan import PhasePlan, Plan, Rate
from apps.updates.models import Deployment, Phase, Rollout
from apps.updates.services.offers import apply_reports, claim_deployments
from apps.updates.services.rollouts import pause_rollout, resume_rollout, start_rollout
from apps.updates.types import Offer, Report
from tests import factories
from tests.factories import Cast
from tests.updates.conftest import Fleet, make_release, make_rollout

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def started(fleet: Fleet, version: str = "1.0.0", **plan: object) -> Rollout:
    release = make_release(fleet.alice, version, version.encode())
    rollout = make_rollout(fleet.alice, release, plan=Plan(**plan))
    return start_rollout(fleet.alice, rollout.id)


def one_phase(**phase: object) -> tuple[PhasePlan]:
    return (PhasePlan(100, **phase),)


def test_a_constant_rate_lets_so_many_start_each_minute(
    clock: time_machine.Traveller, fleet: Fleet
) -> None:
    started(fleet, phases=one_phase(rate=Rate(2)))
    assert len(fleet.claim()) == 2
    clock.shift(timedelta(seconds=59))
    assert fleet.claim() == []
    clock.shift(timedelta(seconds=1))
    assert len(fleet.claim(*fleet.device_ids[:1], *fleet.device_ids[1:])) == 2


def test_those_who_come_first_in_the_order_start_first(
    clock: time_machine.Traveller, fleet: Fleet
) -> None:
    started(fleet, phases=one_phase(rate=Rate(3)))
    assert sorted(fleet.deployment(offer).position for offer in fleet.claim()) == [0, 1, 2]


def test_a_pause_saves_up_no_rush(clock: time_machine.Traveller, fleet: Fleet) -> None:
    rollout = started(fleet, phases=one_phase(rate=Rate(2)))
    pause_rollout(fleet.alice, rollout.id)
    clock.shift(60 * MINUTE)
    resume_rollout(fleet.alice, rollout.id)
    assert len(fleet.claim()) == 2
    assert fleet.claim() == []


def test_devices_that_fail_at_once_make_no_room_in_the_same_minute(
    clock: time_machine.Traveller, fleet: Fleet
) -> None:
    rules = Installation(maximum_attempts=3, backoff_seconds=0)
    started(fleet, phases=one_phase(rate=Rate(2)), installation=rules)
    fleet.finish(fleet.claim(), "failed")
    assert fleet.claim() == []
    clock.shift(MINUTE)
    assert len(fleet.claim()) == 2


def test_an_exponential_rate_grows_each_minute_up_to_its_maximum() -> None:
    rate = Rate(2, growth_percent=200, maximum_per_minute=10)
    assert [rate.allowed(minute) for minute in range(5)] == [2, 4, 8, 10, 10]
    slow = Rate(1, growth_percent=110)
    assert slow.allowed(8) == 2
    assert slow.allowed(10**9) == 1_000_000
    assert Rate(7).allowed(10**9) == 7


def test_an_exponential_rate_is_kept_to(clock: time_machine.Traveller, fleet: Fleet) -> None:
    started(fleet, phases=one_phase(rate=Rate(1, growth_percent=200)))
    numbers = []
    for _ in range(4):
        numbers.append(len(fleet.claim()))
        clock.shift(MINUTE)
    assert numbers == [1, 2, 4, 1]


def test_no_more_than_so_many_work_at_once(fleet: Fleet) -> None:
    started(fleet, phases=one_phase(maximum_in_flight=3))
    offers = fleet.claim()
    assert len(offers) == 3
    assert fleet.claim() == []
    fleet.finish(offers[:2])
    assert len(fleet.claim()) == 2


def test_a_full_rollout_leaves_devices_to_another_one(fleet: Fleet) -> None:
    narrow = started(fleet, "1.0.0", phases=one_phase(maximum_in_flight=1), priority=5)
    wide = started(fleet, "2.0.0")
    assert len(fleet.claim()) == 1
    assert {o.rollout_id for o in fleet.claim()} == {wide.id}
    assert fleet.phases(narrow)[0].active == 1


def test_the_higher_priority_goes_first_then_the_older_rollout(fleet: Fleet) -> None:
    older = started(fleet, "1.0.0")
    newer = started(fleet, "2.0.0")
    urgent = started(fleet, "3.0.0", priority=1)
    for rollout in (urgent, older, newer):
        offers = fleet.claim()
        assert {o.rollout_id for o in offers} == {rollout.id}
        fleet.finish(offers)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limit", [{"maximum_in_flight": 5}, {"rate": Rate(5)}])
def test_eight_gateways_at_once_do_not_start_more_than_allowed(
    acme: Cast, alice: Actor, limit: dict[str, object]
) -> None:
    devices = [d.id for d in (*acme.devices, *(factories.device(acme.id) for _ in range(30)))]
    with tenant(acme.id):
        release = make_release(alice)
        draft = make_rollout(alice, release, plan=Plan(one_phase(**limit)))
        rollout = start_rollout(alice, draft.id)
    system = system_actor(acme.id, source=Source.AGENT)

    def claim(_thread: int) -> list[Offer]:
        found: list[Offer] = []
        try:
            for turn in range(6):
                with tenant(acme.id):
                    offers = claim_deployments(system, devices)
                    found += offers
                    if offers and turn % 2 and "rate" not in limit:
                        done = offers[0]
                        report = Report(done.device_id, done.deployment_id, 1, "succeeded")
                        apply_reports(system, [report])
                with tenant(acme.id):
                    phase = Phase.objects.for_org(acme.id).get(rollout_id=rollout.id)
                    assert phase.active <= 5
        finally:
            connections.close_all()
        return found

    with (
        time_machine.travel(rollout.started_at + timedelta(seconds=1), tick=False),
        ThreadPoolExecutor(8) as pool,
    ):
        offers = [offer for found in pool.map(claim, range(8)) for offer in found]
    assert len({o.deployment_id for o in offers}) == len(offers) >= 5
    with tenant(acme.id):
        rows = Deployment.objects.for_org(acme.id).filter(offers__gt=0)
        assert rows.count() == len(offers)
    assert "rate" not in limit or len(offers) == 5
