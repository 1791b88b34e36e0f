"""Devices that fail are tried again, later, as often as the plan says."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from apps.updates.domain.installation import Installation
from apps.updates.domain.plan import Plan
from apps.updates.models import Deployment, Rollout
from apps.updates.selectors.reasons import list_reasons
from apps.updates.selectors.rollouts import check_log
from apps.updates.services.rollouts import cancel_rollout, start_rollout
from apps.updates.services.scheduling import expire_deployments
from tests.updates.conftest import (
    Fleet,
    counts_of_phases,
    counts_of_rows,
    make_release,
    make_rollout,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def rollout(fleet: Fleet) -> Rollout:
    """Three attempts, a minute and then two after the failure."""
    rules = Installation(maximum_attempts=3, backoff_seconds=60)
    made = make_rollout(fleet.alice, make_release(fleet.alice), plan=Plan(installation=rules))
    return start_rollout(fleet.alice, made.id)


def attempts(rollout: Rollout, device_id: object) -> list[tuple[int, str, bool]]:
    rows = Deployment.objects.for_org(rollout.organization_id).filter(
        rollout_id=rollout.id, device_id=device_id
    )
    return list(rows.order_by("attempt").values_list("attempt", "state", "is_retried"))


def test_a_failed_device_waits_and_is_tried_again(
    fleet: Fleet, rollout: Rollout, clock: time_machine.Traveller
) -> None:
    offer = fleet.claim()[0]
    fleet.finish([offer], "failed")
    assert fleet.advance(rollout).state == "running"
    assert fleet.claim(offer.device_id) == []
    clock.shift(timedelta(seconds=59))
    assert fleet.claim(offer.device_id) == []
    clock.shift(timedelta(seconds=1))
    again = fleet.claim(offer.device_id)[0]
    assert again.deployment_id != offer.deployment_id
    assert attempts(rollout, offer.device_id) == [(1, "failed", True), (2, "offered", False)]
    assert counts_of_phases(rollout) == counts_of_rows(rollout)


def test_the_wait_doubles_and_the_last_failure_counts(
    fleet: Fleet, rollout: Rollout, clock: time_machine.Traveller
) -> None:
    device = fleet.device_ids[0]
    fleet.finish(fleet.claim(device), "failed")
    clock.shift(timedelta(seconds=60))
    fleet.finish(fleet.claim(device), "rolled_back")
    clock.shift(timedelta(seconds=119))
    assert fleet.claim(device) == []
    clock.shift(timedelta(seconds=1))
    fleet.finish(fleet.claim(device), "failed")
    assert [state for _, state, _ in attempts(rollout, device)] == [
        "failed",
        "rolled_back",
        "failed",
    ]
    assert fleet.advance(rollout).state == "halted"
    assert counts_of_phases(rollout) == counts_of_rows(rollout)
    [why] = list_reasons(fleet.alice, rollout.id)
    assert why.states == (("failed", 1),)
    assert check_log(fleet.alice, rollout.id).differences == ()


def test_a_rollout_whose_devices_all_succeed_in_the_end_completes(
    fleet: Fleet, rollout: Rollout, clock: time_machine.Traveller
) -> None:
    offers = fleet.claim()
    fleet.finish(offers[:3], "failed")
    fleet.finish(offers[3:])
    assert fleet.advance(rollout).state == "running"
    clock.shift(timedelta(seconds=60))
    fleet.finish(fleet.claim())
    assert fleet.advance(rollout).state == "completed"
    assert fleet.phases(rollout)[0].total == fleet.phases(rollout)[0].succeeded == 8


def test_a_silent_device_is_tried_again_and_its_late_word_changes_nothing(
    fleet: Fleet, rollout: Rollout, clock: time_machine.Traveller
) -> None:
    offer = fleet.claim()[0]
    clock.shift(timedelta(hours=2))
    expire_deployments(fleet.system)
    clock.shift(timedelta(seconds=60))
    again = fleet.claim(offer.device_id)[0]
    before = counts_of_phases(rollout)
    for step, outcome in (("succeeded", "reconciled"), ("failed", "reconciled")):
        result = fleet.report(offer, 7 if step == "succeeded" else 8, step)
        assert (result.outcome, result.is_terminal) == (outcome, True)
    assert counts_of_phases(rollout) == before == counts_of_rows(rollout)
    assert attempts(rollout, offer.device_id) == [(1, "timed_out", True), (2, "offered", False)]
    assert fleet.report(again, 1, "succeeded").outcome == "stored"


def test_a_late_report_of_a_failed_attempt_is_ignored(
    fleet: Fleet, rollout: Rollout, clock: time_machine.Traveller
) -> None:
    offer = fleet.claim()[0]
    fleet.finish([offer], "failed")
    clock.shift(timedelta(seconds=60))
    fleet.claim(offer.device_id)
    assert fleet.report(offer, 9, "succeeded").outcome == "ignored"
    assert [state for _, state, _ in attempts(rollout, offer.device_id)] == ["failed", "offered"]


def test_nothing_is_tried_again_in_a_rollout_that_is_over(fleet: Fleet, rollout: Rollout) -> None:
    offer = fleet.claim()[0]
    fleet.report(offer, 1, "installing")
    cancel_rollout(fleet.alice, rollout.id)
    fleet.report(offer, 2, "failed")
    assert attempts(rollout, offer.device_id) == [(1, "failed", False)]


def test_an_attempt_that_was_queued_while_the_rollout_ended_does_not_wait_for_ever(
    fleet: Fleet, rollout: Rollout
) -> None:
    cancel_rollout(fleet.alice, rollout.id)
    # As a report leaves it behind that was stored between the cancellation's two steps.
    row = Deployment.objects.for_org(fleet.organization_id).filter(rollout_id=rollout.id)[0]
    row.attempt, row.state, row.finished_at = 2, "waiting", None
    row.save()
    phase = fleet.phases(rollout)[0]
    phase.waiting, phase.cancelled = 1, phase.cancelled - 1
    phase.save()
    fleet.advance(rollout)
    row.refresh_from_db()
    assert (row.state, row.reason_code) == ("cancelled", "rollout_over")
    assert counts_of_phases(rollout) == counts_of_rows(rollout)
