"""Starts and ends by the clock, maintenance windows where each device lives, and blackout dates."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine

from apps.core.actors import Actor
from apps.core.errors import InvalidRequest
from apps.devices.models import Device
from apps.updates import tasks
from apps.updates.domain.plan import Plan
from apps.updates.domain.schedule import Schedule, Window
from apps.updates.domain.verdict import verdict
from apps.updates.errors import RolloutNotStartable
from apps.updates.models import Rollout, RolloutEvent
from apps.updates.selectors.rollouts import get_rollout, list_due_rollout_ids
from apps.updates.services.planning import submit_rollout, update_rollout
from apps.updates.services.recalls import recall_release
from apps.updates.services.rollouts import start_rollout
from apps.updates.types import Target
from tests.updates.conftest import Fleet, make_release, make_rollout

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def planned(fleet: Fleet, **schedule: object) -> Rollout:
    release = make_release(fleet.alice)
    return make_rollout(fleet.alice, release, plan=Plan(schedule=Schedule(**schedule)))


def submitted(fleet: Fleet, **schedule: object) -> Rollout:
    return submit_rollout(fleet.alice, planned(fleet, **schedule).id)


def start_due(fleet: Fleet, rollout: Rollout) -> Rollout:
    """What the sweep asks a worker for."""
    tasks.start_due(str(fleet.organization_id), rollout_id=str(rollout.id))
    return get_rollout(fleet.alice, rollout.id)


def test_the_sweep_starts_what_is_due_and_nothing_else(
    fleet: Fleet, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(
        tasks, "wake", lambda name, actor, rollout_id: asked.append((name, rollout_id))
    )
    rollout = submitted(fleet, start_at=NOON + HOUR)
    tasks.sweep(str(fleet.organization_id))
    assert asked == []
    assert start_due(fleet, rollout).state == "scheduled"
    clock.shift(HOUR)
    tasks.sweep(str(fleet.organization_id))
    assert asked == [(tasks.START_TASK, str(rollout.id))]
    assert start_due(fleet, rollout).state == "running"
    assert len(fleet.claim()) == 8


def test_a_draft_does_not_start_by_itself(fleet: Fleet, clock: time_machine.Traveller) -> None:
    planned(fleet, start_at=NOON + HOUR)
    clock.shift(2 * HOUR)
    assert list_due_rollout_ids(fleet.system) == []


def test_a_start_that_cannot_happen_cancels_the_rollout_and_says_why(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    rollout = submitted(fleet, start_at=NOON + HOUR)
    recall_release(fleet.alice, rollout.release_id, reason="It burns.")
    clock.shift(HOUR)
    assert start_due(fleet, rollout).state == "cancelled"
    events = RolloutEvent.objects.for_org(fleet.organization_id)
    event = events.get(rollout_id=rollout.id, type="cancelled")
    assert event.data["reason"].startswith("It could not start: The release was recalled")
    assert start_due(fleet, rollout).event_count == 3


def test_a_rollout_that_was_changed_meanwhile_does_not_start(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    rollout = submitted(fleet, start_at=NOON + HOUR)
    clock.shift(HOUR)
    update_rollout(
        fleet.alice, rollout.id, name="Later", release_id=rollout.release_id, target=Target()
    )
    assert start_due(fleet, rollout).state == "draft"


def test_a_rollout_whose_end_has_passed_is_not_started_any_more(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    rollout = submitted(fleet, start_at=NOON + HOUR, end_at=NOON + 2 * HOUR)
    clock.shift(3 * HOUR)
    with pytest.raises(RolloutNotStartable, match="had to end"):
        start_rollout(fleet.alice, rollout.id)
    assert start_due(fleet, rollout).state == "cancelled"


def test_the_end_halts_what_is_not_through_and_the_page_says_so(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    rollout = planned(fleet, end_at=NOON + HOUR)
    start_rollout(fleet.alice, rollout.id)
    offers = fleet.claim(*fleet.device_ids[:3])
    clock.shift(HOUR)
    assert fleet.advance(rollout).state == "halted"
    fleet.finish(offers)
    shown = get_rollout(fleet.alice, rollout.id)
    said = "Halted in phase 1 of 1: the end time has passed with 8 devices to go."
    assert verdict(shown, NOON) == said
    assert fleet.claim() == []


def test_a_rollout_that_is_through_before_its_end_completes(
    fleet: Fleet, clock: time_machine.Traveller
) -> None:
    rollout = planned(fleet, end_at=NOON + HOUR)
    start_rollout(fleet.alice, rollout.id)
    fleet.finish(fleet.claim())
    clock.shift(2 * HOUR)
    assert fleet.advance(rollout).state == "completed"


def test_a_plan_whose_end_or_windows_are_impossible_is_refused(fleet: Fleet) -> None:
    release = make_release(fleet.alice)
    christmas = tuple(date(2026, 11, 23) + timedelta(days=n) for n in range(9))
    for schedule in (
        {"end_at": NOON - HOUR},
        {"start_at": NOON + HOUR, "end_at": NOON + HOUR},
        {"windows": (Window(60, 120),), "end_at": NOON + HOUR},
        {"blackout_dates": christmas, "end_at": NOON + timedelta(days=8)},
        {"time_zone": "Mars/Olympus"},
        {"windows": (Window(60, 120, ()),)},
    ):
        with pytest.raises(InvalidRequest):
            make_rollout(fleet.alice, release, plan=Plan(schedule=Schedule(**schedule)))
    assert not Rollout.objects.for_org(fleet.organization_id).exists()


def lives_in(fleet: Fleet, device: int, zone: str) -> None:
    rows = Device.objects.for_org(fleet.organization_id).filter(id=fleet.device_ids[device])
    rows.update(inventory={"facts": {"time_zone": zone}})


def test_windows_open_where_each_device_lives(fleet: Fleet, clock: time_machine.Traveller) -> None:
    for device, zone in enumerate(("Europe/Oslo", "Asia/Tokyo", "America/New_York", "no/where")):
        lives_in(fleet, device, zone)
    rollout = planned(fleet, windows=(Window(22 * 60, 2 * 60),))  # over midnight
    start_rollout(fleet.alice, rollout.id)
    oslo, tokyo, york, nowhere, *silent = fleet.device_ids
    assert fleet.claim() == []
    clock.move_to(NOON + HOUR)  # 22:00 in Tokyo
    assert [o.device_id for o in fleet.claim()] == [tokyo]
    clock.move_to(NOON + 9 * HOUR)  # 22:00 in Oslo, 16:00 in New York
    assert [o.device_id for o in fleet.claim()] == [oslo]
    clock.move_to(NOON + 10 * HOUR)  # 22:00 UTC, for those who tell no zone or an unknown one
    assert {o.device_id for o in fleet.claim()} == {nowhere, *silent}
    clock.move_to(NOON + 18 * HOUR + timedelta(minutes=59))  # 01:59 in New York
    assert [o.device_id for o in fleet.claim()] == [york]


def test_a_fixed_zone_counts_for_every_device(fleet: Fleet, clock: time_machine.Traveller) -> None:
    lives_in(fleet, 0, "Asia/Tokyo")
    rollout = planned(fleet, windows=(Window(60, 120),), time_zone="Europe/Oslo")
    start_rollout(fleet.alice, rollout.id)
    clock.move_to(NOON + 11 * HOUR + timedelta(minutes=59))
    assert fleet.claim() == []
    clock.move_to(NOON + 12 * HOUR)  # 01:00 in Oslo
    assert len(fleet.claim()) == 8


def test_nothing_starts_on_a_blackout_date(fleet: Fleet, clock: time_machine.Traveller) -> None:
    rollout = planned(fleet, blackout_dates=(date(2026, 11, 23),))
    start_rollout(fleet.alice, rollout.id)
    assert fleet.claim() == []
    clock.move_to(NOON + 12 * HOUR)
    assert len(fleet.claim()) == 8


def test_devices_are_told_the_windows_to_look_at_them_again(fleet: Fleet, alice: Actor) -> None:
    schedule = {"windows": (Window(0, 1440),), "time_zone": "Europe/Oslo"}
    start_rollout(alice, planned(fleet, **schedule).id)
    offer = fleet.claim()[0]
    assert offer.plan.schedule == Schedule(**schedule)
