"""A forecast takes what a start would take, and says what it is based on."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection

from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.limits import LimitReached, forget
from apps.devices.models import Device, DevicePresence, DeviceState
from apps.updates.domain.gates import GateKind, GatePolicy
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.domain.schedule import Schedule
from apps.updates.errors import ForecastTooLarge, ForecastTooSlow, RolloutNotForecastable
from apps.updates.models import Deployment, Release, Rollout
from apps.updates.selectors.histories import list_histories
from apps.updates.services import forecasts
from apps.updates.services.forecasts import forecast_rollout
from apps.updates.services.planning import submit_rollout
from apps.updates.services.rollouts import start_rollout
from tests.factories import Cast
from tests.updates.conftest import Fleet, make_release, make_rollout

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture(autouse=True)
def _nothing_is_remembered(acme: Cast) -> None:
    cache.clear()
    forget("forecast", str(acme.id))


@pytest.fixture(autouse=True)
def now() -> Iterator[datetime]:
    """The clock stands still."""
    with time_machine.travel(clock.now(), tick=False):
        yield clock.now()


def watched(device_id: UUID, organization_id: UUID, *spans: tuple[float, float | None]) -> None:
    """A device that was online from and to so many hours ago, and enrolled long before."""
    now = clock.now()
    Device.objects.for_org(organization_id).filter(id=device_id).update(created_at=now - 60 * DAY)
    DevicePresence.objects.for_org(organization_id).bulk_create(
        DevicePresence(
            organization_id=organization_id,
            device_id=device_id,
            online_at=now - begin * HOUR,
            offline_at=None if end is None else now - end * HOUR,
        )
        for begin, end in spans
    )


def always_there(fleet: Fleet, device_ids: Sequence[UUID] = ()) -> None:
    for device_id in device_ids or fleet.device_ids:
        watched(device_id, fleet.organization_id, (20 * 24, None))
    rows = DeviceState.objects.for_org(fleet.organization_id)
    rows.update(connectivity="online", offline_at=clock.now() + HOUR, last_seen_at=clock.now())


def draft(fleet: Fleet, plan: Plan | None = None, **values: Any) -> Rollout:
    number = Release.objects.for_org(fleet.organization_id).count()
    release = make_release(fleet.alice, f"1.{number}.0", f"echo {number}\n".encode())
    return make_rollout(fleet.alice, release, plan=plan or Plan(), **values)


def test_the_phases_are_those_that_a_start_makes(fleet: Fleet) -> None:
    plan = Plan((PhasePlan(0, filter="tags:lab"), PhasePlan(30), PhasePlan(100)))
    rows = Device.objects.for_org(fleet.organization_id)
    rows.filter(id__in=fleet.device_ids[:2]).update(tags=["lab"])
    rollout = draft(fleet, plan)
    planned = forecasts._phases(fleet.alice, rollout, rollout.planned(), 1)
    assert [len(part) for part in planned] == [
        phase.devices for phase in forecast_rollout(fleet.alice, rollout.id).phases
    ]
    start_rollout(fleet.alice, rollout.id)
    started: dict[int, list[UUID]] = {0: [], 1: [], 2: []}
    deployments = Deployment.objects.for_org(fleet.organization_id).filter(rollout_id=rollout.id)
    for index, device_id in deployments.order_by("position").values_list(
        "phase_index", "device_id"
    ):
        started[index].append(device_id)
    assert planned == list(started.values())
    assert [len(part) for part in planned] == [2, 2, 4]


def test_the_same_seed_gives_the_same_forecast(fleet: Fleet) -> None:
    for place, device_id in enumerate(fleet.device_ids):
        hours = [(24.0 * day + 9 + place, 24.0 * day + 1) for day in range(1, 14)]
        watched(device_id, fleet.organization_id, *hours)
    rollout = draft(fleet)
    first = forecast_rollout(fleet.alice, rollout.id, seed=7)
    cache.clear()
    assert forecast_rollout(fleet.alice, rollout.id, seed=7) == first
    other = forecast_rollout(fleet.alice, rollout.id, seed=8)
    assert other.outcome != first.outcome
    assert (first.devices, first.known, first.seed) == (8, 8, 7)
    assert 13 < first.history_days < 14


def test_it_changes_nothing(fleet: Fleet) -> None:
    rollout = draft(fleet)
    before = rollout.state_hash, rollout.event_count
    forecast_rollout(fleet.alice, rollout.id)
    rollout.refresh_from_db()
    assert (rollout.state_hash, rollout.event_count) == before
    assert not Deployment.objects.for_org(fleet.organization_id).exists()


def test_a_fleet_that_nobody_has_watched_says_so(fleet: Fleet) -> None:
    found = forecast_rollout(fleet.alice, draft(fleet).id)
    assert (found.devices, found.known, found.history_days) == (8, 0, 0.0)
    assert found.outcome.completed + found.outcome.halted > 0


def test_a_device_that_was_away_all_the_time_misses_the_end_and_is_named(fleet: Fleet) -> None:
    gone, *others = fleet.device_ids
    always_there(fleet, others)
    watched(gone, fleet.organization_id, (19 * 24, 18 * 24 + 23))
    rows = DeviceState.objects.for_org(fleet.organization_id)
    rows.filter(device_id=gone).update(connectivity="offline")
    # A gate that nothing halts before the end.
    plan = Plan(schedule=Schedule(end_at=clock.now() + DAY))
    found = forecast_rollout(fleet.alice, draft(fleet, plan).id)
    assert found.ends_at == clock.now() + DAY
    assert found.outcome.halted > 0.5
    assert found.outcome.finish.p50 is None


def test_late_devices_are_named_to_those_who_may_see_them(fleet: Fleet, erin: Actor) -> None:
    gone, *others = fleet.device_ids
    always_there(fleet, others)
    watched(gone, fleet.organization_id, (19 * 24, 18 * 24 + 23))
    rows = DeviceState.objects.for_org(fleet.organization_id)
    rows.filter(device_id=gone).update(connectivity="offline")
    rollout = draft(fleet)
    found = forecast_rollout(fleet.alice, rollout.id)
    assert [device_id for device_id, _ in found.at_risk] == [gone]
    blind = replace(fleet.alice, permissions=frozenset({"updates.view_rollouts"}), grants=())
    hidden = forecast_rollout(blind, rollout.id)
    assert (hidden.at_risk, hidden.at_risk_count) == ((), 1)


def test_a_rollout_that_waits_for_approval_or_its_time_can_be_forecast(fleet: Fleet) -> None:
    always_there(fleet)
    start_at = clock.now() + 2 * DAY
    plan = Plan(schedule=Schedule(start_at=start_at))
    rollout = draft(fleet, plan, requires_approval=True)
    submit_rollout(fleet.alice, rollout.id)
    found = forecast_rollout(fleet.alice, rollout.id)
    assert found.begins_at == start_at
    assert found.outcome.completed > 0.5
    ready = draft(fleet)
    submit_rollout(fleet.alice, ready.id)
    assert forecast_rollout(fleet.alice, ready.id).begins_at == clock.now()


def test_a_rollout_that_has_started_cannot_be_forecast(fleet: Fleet) -> None:
    rollout = fleet.start()
    with pytest.raises(RolloutNotForecastable):
        forecast_rollout(fleet.alice, rollout.id)


def test_what_cannot_be_foreseen_is_said(fleet: Fleet) -> None:
    plan = Plan((PhasePlan(50), PhasePlan(100, needs_approval=True)))
    found = forecast_rollout(fleet.alice, draft(fleet, plan).id)
    assert found.unforeseen == ("approval",)
    assert found.phases[1].finish.p50 is None


def test_past_failures_and_gates_decide_about_halts(fleet: Fleet) -> None:
    always_there(fleet)
    for version in ("0.1.0", "0.2.0", "0.3.0"):
        fleet.start(version=version)
        fleet.finish(fleet.claim(), "failed")
    found = forecast_rollout(fleet.alice, draft(fleet).id)
    assert found.outcome.halted > 0.9
    patient = GatePolicy(
        kind=GateKind.SEQUENTIAL,
        acceptable_rate=Decimal("0.9"),
        unacceptable_rate=Decimal("0.99"),
    )
    calm = forecast_rollout(
        fleet.alice, draft(fleet, Plan((PhasePlan(100, gate=patient.checked()),))).id
    )
    assert calm.outcome.halted < found.outcome.halted


def test_too_many_devices_are_refused_in_words(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecasts, "MAXIMUM_DEVICES", 5)
    with pytest.raises(ForecastTooLarge, match="at most 5 devices"):
        forecast_rollout(fleet.alice, draft(fleet).id)


def test_it_gives_up_at_its_deadline(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasts, "DEADLINE_SECONDS", -1.0)
    with pytest.raises(ForecastTooSlow):
        forecast_rollout(fleet.alice, draft(fleet).id)


def test_whoever_asks_all_the_time_has_to_wait(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecasts, "BUDGET", 2)
    rollout = draft(fleet)
    for seed in (1, 2, 2, 2):
        forecast_rollout(fleet.alice, rollout.id, seed=seed)
    with pytest.raises(LimitReached):
        forecast_rollout(fleet.alice, rollout.id, seed=3)


def test_many_runs_count_as_the_work_that_they_are(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecasts, "BUDGET", 4)
    monkeypatch.setattr(forecasts, "VISITS_PER_UNIT", 4)
    rollout = draft(fleet)
    forecast_rollout(fleet.alice, rollout.id, runs=2)  # of eight devices
    with pytest.raises(LimitReached):
        forecast_rollout(fleet.alice, rollout.id, runs=1)


@pytest.mark.parametrize("values", [{"seed": -1}, {"runs": 0}, {"runs": 501}, {"seed": 2**31}])
def test_numbers_out_of_range_are_refused(fleet: Fleet, values: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest):
        forecast_rollout(fleet.alice, draft(fleet).id, **values)


def test_a_rollout_out_of_sight_is_not_found(fleet: Fleet) -> None:
    rollout = draft(fleet)
    with pytest.raises(NotFound):
        forecast_rollout(fleet.alice, uuid4())
    nobody = replace(fleet.alice, permissions=frozenset(), grants=())
    with pytest.raises(PermissionDenied):
        forecast_rollout(nobody, rollout.id)


# ---- histories ----


def hours(device_id: UUID, fleet: Fleet) -> list[float]:
    """When a device was online, in hours before now."""
    now = clock.now()
    found = list_histories(fleet.alice, fleet.device_ids, now).devices
    mine = next(d for d in found if d.device_id == str(device_id))
    return [round((now.timestamp() - moment) / 3600, 2) for moment in mine.online]


def test_presence_is_read_in_the_order_asked_for_and_thirty_days_back(fleet: Fleet) -> None:
    device_id = fleet.device_ids[0]
    watched(device_id, fleet.organization_id, (50 * 24, 45 * 24), (31 * 24, 29 * 24), (5, 3))
    assert hours(device_id, fleet) == [720.0, 696.0, 5.0, 3.0]
    found = list_histories(fleet.alice, fleet.device_ids[::-1], clock.now())
    assert [d.device_id for d in found.devices] == [str(i) for i in fleet.device_ids[::-1]]


def test_a_span_without_an_end_lasts_until_now_or_until_the_device_last_spoke(
    fleet: Fleet,
) -> None:
    there, silent = fleet.device_ids[:2]
    watched(there, fleet.organization_id, (30, None))
    watched(silent, fleet.organization_id, (30, None))
    rows, now = DeviceState.objects.for_org(fleet.organization_id), clock.now()
    rows.filter(device_id=there).update(offline_at=now + HOUR, last_seen_at=now)
    rows.filter(device_id=silent).update(offline_at=now - 9 * HOUR, last_seen_at=now - 10 * HOUR)
    assert hours(there, fleet) == [30.0, 0.0]
    assert hours(silent, fleet) == [30.0, 10.0]


def test_nobody_is_taken_as_offline_before_anybody_was_watched(fleet: Fleet) -> None:
    old, new = fleet.device_ids[:2]
    watched(old, fleet.organization_id, (48, 40))
    found = list_histories(fleet.alice, fleet.device_ids, clock.now())
    by_id = {device.device_id: device for device in found.devices}
    assert by_id[str(old)].observed_to - by_id[str(old)].observed_from == 48 * 3600
    # Enrolled just now: nothing is known.
    assert by_id[str(new)].observed_to - by_id[str(new)].observed_from < 60
    assert (found.known, found.days) == (1, 2.0)


def test_past_updates_say_how_fast_a_device_is_without_the_time_it_was_away(fleet: Fleet) -> None:
    device_id = fleet.device_ids[0]
    release = make_release(fleet.alice, "0.9.0", b"x" * 1_000_000)
    start_rollout(fleet.alice, make_rollout(fleet.alice, release).id)
    offer = fleet.claim(device_id)[0]
    begin, later = clock.now(), clock.now() + timedelta(hours=3)
    with time_machine.travel(later + timedelta(seconds=50), tick=False):
        fleet.report(offer, 1, "installing")
    with time_machine.travel(later + timedelta(seconds=80), tick=False):
        fleet.report(offer, 2, "succeeded")
        end = clock.now()
    rows = DevicePresence.objects.for_org(fleet.organization_id)
    for online_at, offline_at in (
        (begin - HOUR, begin + timedelta(seconds=50)),
        (later, end + HOUR),
    ):
        rows.create(
            organization_id=fleet.organization_id,
            device_id=device_id,
            online_at=online_at,
            offline_at=offline_at,
        )
    Device.objects.for_org(fleet.organization_id).update(created_at=begin - 2 * HOUR)
    history = list_histories(fleet.alice, [device_id], end + HOUR).devices[0]
    assert (history.attempts, history.failures) == (1, 0)
    assert history.bytes_per_second == [pytest.approx(10_000)]
    assert history.install_seconds == [pytest.approx(30)]


def test_small_files_say_nothing_about_bandwidth(fleet: Fleet) -> None:
    fleet.start(version="0.9.0")
    offer = fleet.claim()[0]
    with time_machine.travel(clock.now() + timedelta(seconds=4), tick=False):
        fleet.report(offer, 1, "installing")
        fleet.report(offer, 2, "succeeded")
    history = list_histories(fleet.alice, [offer.device_id], clock.now() + HOUR).devices[0]
    assert (history.bytes_per_second, history.install_seconds) == ([], [pytest.approx(4)])


def test_histories_of_many_devices_take_a_few_statements(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    from apps.updates.selectors import histories

    read = histories._rows
    monkeypatch.setattr(histories, "_rows", lambda s, p: statements.append(s) or read(s, p))
    fleet.start()
    fleet.finish(fleet.claim())
    list_histories(fleet.alice, fleet.device_ids, clock.now())
    assert len(statements) == 3


def test_only_the_newest_spans_of_a_restless_device_are_read(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.updates.selectors.histories.SPANS_OF_ONE", 30)
    device_id = fleet.device_ids[0]
    watched(device_id, fleet.organization_id, *[(n, n - 0.5) for n in range(50, 0, -1)])
    assert len(hours(device_id, fleet)) == 60
    mine = list_histories(fleet.alice, [device_id], clock.now()).devices[0]
    assert mine.observed_from == pytest.approx((clock.now() - 30 * HOUR).timestamp())


def test_a_forecast_of_many_devices_with_a_month_behind_them(fleet: Fleet) -> None:
    """FORECAST_DEVICES sets how many (10,000: with -s it prints how long that took)."""
    number = int(os.environ.get("FORECAST_DEVICES", "200"))
    first = Device.objects.for_org(fleet.organization_id).get(id=fleet.device_ids[0])
    with connection.cursor() as cursor:
        cursor.execute(_MANY, {"like": first.id, "number": number, "now": clock.now()})
    rollout = draft(fleet, Plan((PhasePlan(10), PhasePlan(100))))
    began = time.perf_counter()
    found = forecast_rollout(fleet.alice, rollout.id)
    sys.stdout.write(f"{found.devices} devices, {found.outcome.runs} runs: ")
    sys.stdout.write(f"{time.perf_counter() - began:.1f} s\n")
    assert (found.devices, found.known) == (number + 8, number)
    assert found.outcome.completed > 0


# Office hours of thirty days, each device shifted a little.
_MANY = """
    WITH made AS (
        INSERT INTO devices_device SELECT (jsonb_populate_record(device, jsonb_build_object(
            'id', gen_random_uuid(), 'hardware_id', 'many-' || n, 'name', 'many-' || n,
            'created_at', %(now)s::timestamptz - interval '60 days'))).*
        FROM devices_device AS device, generate_series(1, %(number)s) AS n
        WHERE device.id = %(like)s
        RETURNING id, organization_id
    ), live AS (
        INSERT INTO devices_device_state SELECT (jsonb_populate_record(state,
            jsonb_build_object('device_id', made.id))).*
        FROM made, devices_device_state AS state WHERE state.device_id = %(like)s
    )
    INSERT INTO devices_device_presence (id, organization_id, device_id, online_at, offline_at)
    SELECT gen_random_uuid(), organization_id, id, from_at, from_at + interval '4 hours'
    FROM made, generate_series(1, 60) AS n, LATERAL (
        SELECT %(now)s::timestamptz - n * interval '12 hours'
            + (hashtext(id::text) %% 3600) * interval '1 second' AS from_at) AS begins
"""
