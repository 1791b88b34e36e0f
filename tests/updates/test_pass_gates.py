"""Gates in running rollouts: promotion before the last device, later failures, soak, and people."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.authz import Role
from apps.core.errors import InvalidRequest, PermissionDenied
from apps.updates.domain.gates import GateKind, GatePolicy
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.errors import PhaseNotAdvanceable, RolloutNotPaused, RolloutNotRunning
from apps.updates.models import Rollout, RolloutEvent
from apps.updates.selectors.rollouts import check_log, get_rollout
from apps.updates.services.offers import claim_deployments
from apps.updates.services.rollouts import (
    advance_phase,
    halt_rollout,
    pause_rollout,
    resume_rollout,
    start_rollout,
)
from apps.updates.types import Offer
from tests import factories
from tests.updates.conftest import Fleet, make_release, make_rollout

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
# Two clean devices promote, two failed ones halt.
QUICK = GatePolicy(
    GateKind.SEQUENTIAL, acceptable_rate=Decimal("0.05"), unacceptable_rate=Decimal("0.8")
)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def started(fleet: Fleet, *phases: PhasePlan) -> Rollout:
    release = make_release(fleet.alice)
    rollout = make_rollout(fleet.alice, release, plan=Plan(phases))
    return start_rollout(fleet.alice, rollout.id)


def halves(gate: GatePolicy, **second: object) -> tuple[PhasePlan, PhasePlan]:
    return PhasePlan(50, gate=gate), PhasePlan(100, gate=gate, **second)


def claim(fleet: Fleet, limit: int) -> list[Offer]:
    return claim_deployments(fleet.system, fleet.device_ids, limit)


def test_a_sequential_gate_promotes_while_devices_still_wait(fleet: Fleet) -> None:
    rollout = started(fleet, *halves(QUICK))
    fleet.finish(claim(fleet, 2))
    assert fleet.advance(rollout).open_phase == 1
    first = fleet.phases(rollout)[0]
    assert (first.state, first.waiting) == ("promoted", 2)


def test_devices_at_work_may_still_fail_and_hold_a_promotion(fleet: Fleet) -> None:
    rollout = started(fleet, *halves(QUICK))
    offers = fleet.claim()
    fleet.finish(offers[:2])
    assert fleet.advance(rollout).open_phase == 0
    reason = "2 of 4 succeeded: enough to promote once the 2 devices at work have succeeded too"
    assert fleet.phases(rollout)[0].gate_reason == reason
    fleet.finish(offers[2:])
    assert fleet.advance(rollout).open_phase == 1


def test_failures_in_a_promoted_phase_still_halt(fleet: Fleet) -> None:
    rollout = started(fleet, PhasePlan(75, gate=QUICK), PhasePlan(100, gate=QUICK))
    fleet.finish(claim(fleet, 2))
    assert fleet.advance(rollout).open_phase == 1
    fleet.finish(fleet.claim(), "failed")
    assert fleet.advance(rollout).state == "halted"
    assert fleet.phases(rollout)[0].state == "halted"
    assert fleet.claim() == []


def test_a_strict_phase_that_a_person_passed_halts_at_a_later_failure(fleet: Fleet) -> None:
    rollout = started(fleet, PhasePlan(50), PhasePlan(100))
    offers = fleet.claim()
    fleet.finish(offers[:1])
    fleet.advance(rollout)
    advance_phase(fleet.alice, rollout.id, index=0, reason="Three are in the workshop.")
    assert fleet.advance(rollout).open_phase == 1
    fleet.finish(offers[1:2], "failed")
    assert fleet.advance(rollout).state == "halted"
    assert fleet.phases(rollout)[0].state == "halted"
    assert check_log(fleet.alice, rollout.id).differences == ()


def test_a_rollout_is_complete_only_when_every_device_has_ended(fleet: Fleet) -> None:
    rollout = started(fleet, PhasePlan(100, gate=QUICK))
    fleet.finish(claim(fleet, 2))
    assert fleet.advance(rollout).state == "running"
    assert fleet.phases(rollout)[0].state == "promoted"
    fleet.finish(claim(fleet, 5))
    assert fleet.advance(rollout).state == "running"
    fleet.finish(fleet.claim())
    assert fleet.advance(rollout).state == "completed"


def test_a_phase_soaks_before_it_is_promoted(clock: time_machine.Traveller, fleet: Fleet) -> None:
    rollout = started(fleet, *halves(GatePolicy(minimum_soak_seconds=600)))
    fleet.finish(fleet.claim())
    clock.shift(timedelta(seconds=599))
    assert fleet.advance(rollout).open_phase == 0
    clock.shift(timedelta(seconds=1))
    assert fleet.advance(rollout).open_phase == 1


def test_a_phase_that_needs_approval_waits_for_a_person(fleet: Fleet, alice: Actor) -> None:
    rollout = started(fleet, *halves(GatePolicy(), needs_approval=True))
    fleet.finish(fleet.claim())
    fleet.advance(rollout)
    assert fleet.claim() == []
    assert get_rollout(alice, rollout.id).status().awaits_approval
    advance_phase(alice, rollout.id, index=1, reason="Looks good.")
    events = RolloutEvent.objects.for_org(alice.organization_id)
    said = len(events.all())
    advance_phase(alice, rollout.id, index=1, reason="Looks good, I said.")
    assert len(events.all()) == said
    assert fleet.advance(rollout).open_phase == 1
    assert len(fleet.claim()) == 4
    entry = AuditEntry.objects.for_org(alice.organization_id).get(action="updates.advance_phase")
    assert entry.changes["reason"] == "Looks good."


def test_approval_cannot_be_given_before_it_is_asked_for(fleet: Fleet, alice: Actor) -> None:
    rollout = started(fleet, *halves(GatePolicy(), needs_approval=True))
    for index in (1, 2, -1):
        with pytest.raises(PhaseNotAdvanceable):
            advance_phase(alice, rollout.id, index=index, reason="In a hurry.")


def test_an_undecided_phase_is_passed_by_hand_with_a_reason_once(
    fleet: Fleet, alice: Actor
) -> None:
    cautious = GatePolicy(GateKind.SEQUENTIAL)  # four devices decide nothing
    rollout = started(fleet, *halves(cautious))
    fleet.finish(fleet.claim())
    assert fleet.advance(rollout).open_phase == 0
    with pytest.raises(InvalidRequest):
        advance_phase(alice, rollout.id, index=0, reason=" ")
    passed = advance_phase(alice, rollout.id, index=0, reason="All four are well.")
    assert passed.phases.all()[0].gate_reason == "alice@acme.test passed it: All four are well."
    count = passed.event_count
    assert advance_phase(alice, rollout.id, index=0, reason="Again.").event_count == count
    assert fleet.advance(rollout).open_phase == 1


def test_nobody_passes_a_failed_gate(fleet: Fleet, alice: Actor) -> None:
    rollout = started(fleet, PhasePlan(50), PhasePlan(100))
    offers = fleet.claim()
    fleet.finish(offers[:1], "failed")  # the scheduler has not looked yet
    with pytest.raises(PhaseNotAdvanceable):
        advance_phase(alice, rollout.id, index=0, reason="It is only one.")
    fleet.advance(rollout)
    with pytest.raises(RolloutNotRunning):
        advance_phase(alice, rollout.id, index=0, reason="It is only one.")
    with pytest.raises(RolloutNotPaused):
        resume_rollout(alice, rollout.id)


def test_viewers_neither_advance_nor_halt(fleet: Fleet, bob: Actor) -> None:
    rollout = started(fleet, PhasePlan(100))
    for refused in (
        lambda: advance_phase(bob, rollout.id, index=0, reason="Please."),
        lambda: halt_rollout(bob, rollout.id, reason="Please."),
    ):
        with pytest.raises(PermissionDenied):
            refused()


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_person_halts_for_good_and_says_why(fleet: Fleet, alice: Actor, is_paused: bool) -> None:
    rollout = started(fleet, PhasePlan(50), PhasePlan(100))
    offers = fleet.claim()
    if is_paused:
        pause_rollout(alice, rollout.id)
    halted = halt_rollout(alice, rollout.id, reason="The fans are loud.")
    assert halted.state == "halted"
    assert halted.phases.all()[0].gate_reason == "alice@acme.test halted it: The fans are loud."
    assert halt_rollout(alice, rollout.id, reason="Louder.").event_count == halted.event_count
    assert fleet.claim() == []
    assert fleet.report(offers[0], 1, "succeeded").outcome == "stored"
    fleet.advance(rollout)
    assert check_log(alice, rollout.id).differences == ()


def test_a_rollout_that_is_over_cannot_be_halted(fleet: Fleet, alice: Actor) -> None:
    rollout = started(fleet, PhasePlan(100))
    fleet.finish(fleet.claim())
    fleet.advance(rollout)
    with pytest.raises(RolloutNotRunning):
        halt_rollout(alice, rollout.id, reason="Too late.")


def test_who_may_advance_in_no_group_of_it_may_not_at_all(fleet: Fleet, acme: object) -> None:
    rollout = started(fleet, PhasePlan(100))
    person = factories.user("nobody@acme.test")
    stranger = factories.actor(factories.membership(fleet.organization_id, person, Role.VIEWER))
    with pytest.raises(PermissionDenied):
        advance_phase(stranger, rollout.id, index=0, reason="Why not.")
