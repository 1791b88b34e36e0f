"""Gates that look at what updated devices report: halted on their own, promoted, and replayed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
import time_machine

from apps.devices.models import Device, DeviceState
from apps.updates.domain.gates import (
    Arm,
    Comparison,
    GateKind,
    GatePolicy,
    Metric,
    MetricCondition,
    OnExhausted,
)
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.models import Deployment, Rollout, RolloutEvent
from apps.updates.selectors.evidence import list_measured_rollout_ids
from apps.updates.selectors.rollouts import check_log
from apps.updates.services.rollouts import start_rollout
from apps.updates.services.scheduling import advance_rollout
from tests.updates.conftest import Fleet, make_release, make_rollout

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
# Two good devices promote, two bad ones halt.
RATES = {"acceptable_rate": Decimal("0.05"), "unacceptable_rate": Decimal("0.8")}
HOT = MetricCondition(Metric.TEMPERATURE_CELSIUS, Decimal(80), **RATES)
RISEN = MetricCondition(Metric.CPU_RATIO, Decimal("0.2"), Comparison.RISEN_BY, **RATES)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture(autouse=True)
def beating(clock: time_machine.Traveller, fleet: Fleet) -> None:
    """Every device has sent a heartbeat."""
    DeviceState.objects.for_org(fleet.organization_id).update(
        connectivity="online", connected_at=NOON - timedelta(hours=1)
    )
    beat(fleet, *fleet.device_ids, at=NOON - timedelta(minutes=1))


def beat(fleet: Fleet, *device_ids: UUID, at: datetime, **figures: float) -> None:
    """A heartbeat of these devices."""
    values = {"cpu_ratio": 0.1, "temperature_celsius": 50.0, **figures}
    rows = DeviceState.objects.for_org(fleet.organization_id).filter(device_id__in=device_ids)
    offline_at = at + timedelta(hours=1)
    rows.update(last_seen_at=at, uptime_seconds=500, offline_at=offline_at, **values)


def started(fleet: Fleet, **gate: object) -> Rollout:
    policy = GatePolicy(GateKind.SEQUENTIAL, **{**RATES, **gate})
    plan = Plan((PhasePlan(50, gate=policy), PhasePlan(100, gate=policy)))
    rollout = make_rollout(fleet.alice, make_release(fleet.alice), plan=plan)
    return start_rollout(fleet.alice, rollout.id)


def sample(fleet: Fleet, rollout: Rollout) -> Rollout:
    return advance_rollout(fleet.system, rollout.id, is_sampling=True)


def updated(fleet: Fleet, clock: time_machine.Traveller) -> list[UUID]:
    """The devices of the open phase, which all succeed."""
    offers = fleet.claim()
    fleet.finish(offers)
    clock.shift(timedelta(minutes=1))
    return [offer.device_id for offer in offers]


def now() -> datetime:
    return datetime.now(UTC)


def test_devices_that_succeed_and_run_hot_halt_the_rollout(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    rollout = started(fleet, conditions=(HOT,))
    devices = updated(fleet, clock)
    assert fleet.advance(rollout).open_phase == 0
    beat(fleet, *devices[:2], at=now(), temperature_celsius=91.5)
    halted = sample(fleet, rollout)
    assert halted.state == "halted"
    first = fleet.phases(rollout)[0]
    assert "temperature above 80 on 2 of 2 updated devices" in first.gate_reason
    assert check_log(fleet.alice, rollout.id).differences == ()
    assert fleet.claim() == []


def test_healthy_metrics_promote(fleet: Fleet, clock: time_machine.Traveller) -> None:
    rollout = started(fleet, conditions=(HOT, RISEN))
    devices = updated(fleet, clock)
    assert fleet.advance(rollout).open_phase == 0
    beat(fleet, *devices, at=now())
    assert sample(fleet, rollout).open_phase == 1
    assert check_log(fleet.alice, rollout.id).differences == ()


def test_a_device_that_has_not_reported_since_its_update_is_waited_for(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    rollout = started(fleet, conditions=(HOT,))
    updated(fleet, clock)
    assert sample(fleet, rollout).open_phase == 0
    phase = sample(fleet, rollout).status().phases[0]
    assert (phase.metrics[0].updated, phase.metrics[0].pending) == (Arm(), 4)
    assert len(RolloutEvent.objects.for_org(fleet.organization_id).filter(type="counted")) == 1


def test_a_hello_is_no_report(fleet: Fleet, clock: time_machine.Traveller) -> None:
    rollout = started(fleet, conditions=(HOT,))
    devices = updated(fleet, clock)
    rows = DeviceState.objects.for_org(fleet.organization_id).filter(device_id__in=devices)
    rows.update(last_seen_at=now(), connected_at=now())
    assert sample(fleet, rollout).status().phases[0].metrics[0].pending == 4


def test_a_rise_is_measured_from_what_the_device_reported_before_its_update(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    rollout = started(fleet, conditions=(RISEN,))
    beat(fleet, *fleet.device_ids, at=now(), cpu_ratio=0.7)
    devices = updated(fleet, clock)
    rows = Deployment.objects.for_org(fleet.organization_id).filter(device_id__in=devices)
    assert {row.baseline["cpu_ratio"] for row in rows} == {0.7}
    beat(fleet, *devices[:2], at=now(), cpu_ratio=0.95)
    beat(fleet, *devices[2:], at=now(), cpu_ratio=0.75)
    sampled = sample(fleet, rollout).status().phases[0].metrics[0]
    assert sampled.updated == Arm(succeeded=2, failed=2)


def test_a_metric_that_goes_bad_while_the_phase_soaks_halts_it(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    rollout = started(fleet, conditions=(HOT,), minimum_soak_seconds=3600)
    devices = updated(fleet, clock)
    beat(fleet, *devices, at=now())
    assert sample(fleet, rollout).state == "running"
    clock.shift(timedelta(minutes=10))
    beat(fleet, *devices, at=now(), temperature_celsius=99.0)
    assert list_measured_rollout_ids(fleet.system) == [rollout.id]
    assert sample(fleet, rollout).state == "halted"


def test_metrics_are_compared_with_devices_that_are_held_back(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    """A hot day is not the release's fault."""
    rollout = started(fleet, conditions=(HOT,), has_control=True)
    devices = updated(fleet, clock)
    beat(fleet, *fleet.device_ids, at=now(), temperature_celsius=99.0)
    phase = sample(fleet, rollout).status().phases[0]
    assert len(devices) == 4
    assert phase.metrics[0].updated == Arm(failed=4)
    assert phase.metrics[0].control == Arm(failed=4)
    assert phase.state == "promoted"


def test_the_last_phase_is_compared_with_its_own_devices_before(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    policy = GatePolicy(GateKind.SEQUENTIAL, conditions=(HOT,), has_control=True, **RATES)
    plan = Plan((PhasePlan(100, gate=policy),))
    rollout = make_rollout(fleet.alice, make_release(fleet.alice), plan=plan)
    start_rollout(fleet.alice, rollout.id)
    beat(fleet, *fleet.device_ids, at=now(), temperature_celsius=85.0)
    devices = updated(fleet, clock)
    beat(fleet, *devices, at=now(), temperature_celsius=85.0)
    arms = sample(fleet, rollout).status().phases[0].metrics[0]
    assert arms.updated == arms.control == Arm(failed=8)


def test_outcomes_are_compared_with_the_devices_last_update(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    earlier = fleet.start(version="0.9.0")
    offers = fleet.claim()
    fleet.finish(offers[:6])
    fleet.finish(offers[6:], "failed")
    fleet.advance(earlier)
    clock.shift(timedelta(minutes=1))
    rollout = started(fleet, has_control=True)
    controls = [phase.control for phase in fleet.advance(rollout).status().phases]
    assert controls[0] is not None
    assert controls[0].total == 4
    assert controls[1] is None
    updated(fleet, clock)
    fleet.advance(rollout)
    assert check_log(fleet.alice, rollout.id).differences == ()


def test_devices_that_left_the_fleet_are_not_waited_for(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    rollout = started(fleet, conditions=(HOT,))
    devices = updated(fleet, clock)
    rows = Device.objects.for_org(fleet.organization_id).filter(id__in=devices[:1])
    rows.update(lifecycle="decommissioned")
    assert sample(fleet, rollout).status().phases[0].metrics[0].pending == 3


def test_rollouts_without_such_gates_pay_nothing(
    fleet: Fleet, django_assert_max_num_queries: object
) -> None:
    rollout = fleet.start()
    fleet.finish(fleet.claim())
    assert {d.baseline for d in Deployment.objects.for_org(fleet.organization_id)} == {None}
    assert list_measured_rollout_ids(fleet.system) == []
    with django_assert_max_num_queries(60) as queries:  # type: ignore[operator]
        fleet.advance(rollout)
    statements = " ".join(query["sql"] for query in queries.captured_queries)
    assert "devices_device_state" not in statements


def test_a_gate_that_may_promote_if_clean_waits_for_the_reports(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    """Nobody is at work any more, and nothing was read before: that is not clean."""
    lenient = {"on_exhausted": OnExhausted.PROMOTE_IF_CLEAN, "unacceptable_rate": Decimal("0.1")}
    rollout = started(fleet, conditions=(HOT,), **lenient)
    sample(fleet, rollout)
    devices = updated(fleet, clock)
    assert fleet.advance(rollout).open_phase == 0
    beat(fleet, *devices, at=now())
    assert sample(fleet, rollout).open_phase == 1
