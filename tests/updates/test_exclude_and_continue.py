"""Who fails, and going on without them."""

from decimal import Decimal
from uuid import UUID

import pytest

from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, PermissionDenied
from apps.devices.models import Device
from apps.updates.domain.gates import GateKind, GatePolicy
from apps.updates.domain.installation import Installation
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.domain.states import RolloutState
from apps.updates.errors import GateStillHalts, NothingToExclude, RolloutNotContinuable
from apps.updates.models import Deployment, Rollout, RolloutEvent
from apps.updates.selectors.rollouts import check_log, get_rollout
from apps.updates.selectors.suspects import find_suspects
from apps.updates.services.exclusions import exclude_and_continue
from apps.updates.services.recalls import recall_release
from apps.updates.services.rollouts import halt_rollout, pause_rollout, start_rollout
from tests import factories
from tests.updates.conftest import (
    Fleet,
    counts_of_phases,
    counts_of_rows,
    make_release,
    make_rollout,
)

# Two failed ones halt, two clean ones promote.
QUICK = GatePolicy(
    GateKind.SEQUENTIAL, acceptable_rate=Decimal("0.05"), unacceptable_rate=Decimal("0.8")
)


def models(fleet: Fleet, rollout: Rollout, *, pi4: int) -> None:
    """In each phase the first devices are of the model pi4, the others pi5."""
    for phase in fleet.phases(rollout):
        rows = Deployment.objects.for_org(fleet.organization_id).filter(
            rollout_id=rollout.id, phase_index=phase.index
        )
        ids = list(rows.order_by("position").values_list("device_id", flat=True))
        devices = Device.objects.for_org(fleet.organization_id)
        devices.filter(id__in=ids).update(model="pi5", tags=["field"])
        devices.filter(id__in=ids[:pi4]).update(model="pi4", tags=["field", "old"])


def started(fleet: Fleet, gate: GatePolicy | None = None, attempts: int = 1) -> Rollout:
    phases = (PhasePlan(50, gate=gate or GatePolicy()), PhasePlan(100, gate=gate or GatePolicy()))
    plan = Plan(phases, installation=Installation(maximum_attempts=attempts))
    rollout = make_rollout(fleet.alice, make_release(fleet.alice), plan=plan)
    rollout = start_rollout(fleet.alice, rollout.id)
    models(fleet, rollout, pi4=2)
    return rollout


def is_pi4(fleet: Fleet, device_id: UUID) -> bool:
    return Device.objects.for_org(fleet.organization_id).get(id=device_id).model == "pi4"


def ran(fleet: Fleet, rollout: Rollout) -> Rollout:
    """What is offered fails on the pi4 and succeeds on the others."""
    offers = fleet.claim()
    fleet.finish([o for o in offers if not is_pi4(fleet, o.device_id)])
    fleet.finish([o for o in offers if is_pi4(fleet, o.device_id)], "failed")
    return fleet.advance(rollout)


def without_pi4(actor: Actor, rollout: Rollout, reason: str = "They have no room.") -> Rollout:
    return exclude_and_continue(actor, rollout.id, attribute="model", value="pi4", reason=reason)


def test_a_halted_rollout_goes_on_without_the_devices_that_failed(fleet: Fleet) -> None:
    rollout = started(fleet)
    assert ran(fleet, rollout).state == "halted"
    assert without_pi4(fleet.alice, rollout).state == "running"
    assert fleet.advance(rollout).open_phase == 1
    offers = fleet.claim()
    assert not any(is_pi4(fleet, offer.device_id) for offer in offers)
    fleet.finish(offers)
    done = fleet.advance(rollout)
    assert done.state == "completed"
    assert "2 of 2 succeeded, 2 not counted" in fleet.phases(rollout)[0].gate_reason
    skipped = Deployment.objects.for_org(fleet.organization_id).filter(state="skipped")
    assert {row.reason_code for row in skipped} == {"excluded"}
    assert len(skipped) == 2
    assert counts_of_rows(rollout) == counts_of_phases(rollout)
    assert check_log(fleet.alice, rollout.id).differences == ()


def test_it_is_written_down_once_who_did_it_and_why(fleet: Fleet) -> None:
    rollout = started(fleet)
    ran(fleet, rollout)
    without_pi4(fleet.alice, rollout)
    count = without_pi4(fleet.alice, rollout, "Again.").event_count
    events = RolloutEvent.objects.for_org(fleet.organization_id).filter(type="excluded")
    assert [event.data["reason"] for event in events] == ["alice@acme.test: They have no room."]
    assert get_rollout(fleet.alice, rollout.id).event_count == count
    entries = AuditEntry.objects.for_org(fleet.organization_id)
    entry = entries.get(action="updates.exclude_and_continue")
    assert entry.changes["state"] == ["halted", "running"]
    assert entry.changes["reason"] == "They have no room."


def test_the_other_devices_still_halt_it(fleet: Fleet) -> None:
    rollout = started(fleet)
    ran(fleet, rollout)
    without_pi4(fleet.alice, rollout)
    fleet.advance(rollout)
    offers = fleet.claim()
    fleet.finish(offers[:1], "failed")
    assert fleet.advance(rollout).state == "halted"
    assert check_log(fleet.alice, rollout.id).differences == ()


def test_leaving_out_the_wrong_devices_is_refused_and_changes_nothing(fleet: Fleet) -> None:
    rollout = started(fleet)
    ran(fleet, rollout)
    with pytest.raises(GateStillHalts) as refused:
        exclude_and_continue(
            fleet.alice, rollout.id, attribute="model", value="pi5", reason="A guess."
        )
    assert "2 failed, 2 not counted: no failure is accepted" in refused.value.message


def test_devices_at_work_finish_and_say_nothing_and_are_not_tried_again(fleet: Fleet) -> None:
    rollout = started(fleet, QUICK, attempts=3)
    offers = fleet.claim()
    without_pi4(fleet.alice, rollout)
    fleet.finish([o for o in offers if is_pi4(fleet, o.device_id)], "failed")
    assert fleet.advance(rollout).state == "running"
    first = fleet.phases(rollout)[0]
    assert (first.failed, first.waiting) == (2, 0)
    fleet.finish([o for o in offers if not is_pi4(fleet, o.device_id)])
    assert fleet.advance(rollout).open_phase == 1
    assert check_log(fleet.alice, rollout.id).differences == ()


def test_a_failed_attempt_of_such_a_device_waits_no_more(fleet: Fleet) -> None:
    rollout = started(fleet, QUICK, attempts=3)
    ran(fleet, rollout)  # the pi4 wait for their second attempt
    assert fleet.phases(rollout)[0].waiting == 2
    without_pi4(fleet.alice, rollout)
    first = fleet.phases(rollout)[0]
    assert (first.waiting, first.skipped) == (0, 2)


def test_a_paused_rollout_stays_paused(fleet: Fleet) -> None:
    rollout = started(fleet)
    pause_rollout(fleet.alice, rollout.id)
    assert without_pi4(fleet.alice, rollout).state == "paused"


def test_what_a_person_halted_stays_halted(fleet: Fleet) -> None:
    rollout = started(fleet)
    fleet.claim()
    halt_rollout(fleet.alice, rollout.id, reason="Wrong release.")
    with pytest.raises(RolloutNotContinuable):
        without_pi4(fleet.alice, rollout)


def test_a_recalled_release_does_not_go_on(fleet: Fleet) -> None:
    rollout = started(fleet)
    ran(fleet, rollout)
    recall_release(fleet.alice, rollout.release_id, reason="It burns.")
    with pytest.raises(Exception, match="recalled"):
        without_pi4(fleet.alice, rollout)
    assert get_rollout(fleet.alice, rollout.id).state == RolloutState.HALTED


def test_a_rollout_that_is_over_leaves_nobody_out(fleet: Fleet) -> None:
    rollout = fleet.start()
    fleet.finish(fleet.claim())
    fleet.advance(rollout)
    with pytest.raises(RolloutNotContinuable):
        without_pi4(fleet.alice, rollout)


def test_a_reason_and_a_trait_that_exists_are_needed(fleet: Fleet) -> None:
    rollout = started(fleet)
    ran(fleet, rollout)
    with pytest.raises(InvalidRequest):
        without_pi4(fleet.alice, rollout, " ")
    for attribute, value in (("colour", "red"), ("model", ""), ("group", str(rollout.id))):
        with pytest.raises(InvalidRequest):
            exclude_and_continue(
                fleet.alice, rollout.id, attribute=attribute, value=value, reason="So."
            )
    with pytest.raises(NothingToExclude):
        exclude_and_continue(fleet.alice, rollout.id, attribute="tag", value="none", reason="So.")


def test_only_those_who_may_pass_gates_may_do_it(fleet: Fleet, bob: Actor) -> None:
    rollout = started(fleet)
    ran(fleet, rollout)
    with pytest.raises(PermissionDenied):
        without_pi4(bob, rollout)


def many(fleet: Fleet, number: int) -> None:
    fleet.device_ids += [factories.device(fleet.organization_id).id for _ in range(number)]


def test_the_trait_of_the_devices_that_fail_is_named(fleet: Fleet) -> None:
    many(fleet, 22)
    rollout = make_rollout(fleet.alice, make_release(fleet.alice), (50, 100))
    rollout = start_rollout(fleet.alice, rollout.id)
    models(fleet, rollout, pi4=5)
    ran(fleet, rollout)
    found = find_suspects(fleet.alice, rollout.id)
    assert (found.outcomes, found.failures, found.is_partial) == (15, 5, False)
    named = {(each.suspect.attribute, each.suspect.value) for each in found.items}
    assert named == {("model", "pi4"), ("tag", "old")}
    first = next(each for each in found.items if each.suspect.attribute == "model")
    assert first.sentence.startswith(
        "Devices with model pi4 fail 3 times as often as all (5 of 5; chance 1 in "
    )
    assert (first.waiting, first.active) == (5, 0)
    without_pi4(fleet.alice, rollout)
    assert find_suspects(fleet.alice, rollout.id).items == ()


def test_the_release_that_devices_had_before_can_be_what_they_have_in_common(
    fleet: Fleet,
) -> None:
    many(fleet, 12)
    early, late = fleet.device_ids[:6], fleet.device_ids[6:]
    for version, device_ids in (("0.8.0", early), ("0.9.0", late)):
        before = fleet.start(version=version)
        fleet.finish(fleet.claim(*device_ids))
        fleet.finish(fleet.claim(), "failed")
        fleet.advance(before)
    rollout = make_rollout(fleet.alice, make_release(fleet.alice))
    rollout = start_rollout(fleet.alice, rollout.id)
    offers = fleet.claim()
    fleet.finish([o for o in offers if o.device_id in late])
    fleet.finish([o for o in offers if o.device_id in early], "failed")
    found = find_suspects(fleet.alice, rollout.id)
    assert [(each.suspect.attribute, each.suspect.value) for each in found.items] == [
        ("previous_version", "0.8.0")
    ]


def test_nothing_is_named_where_nothing_stands_out(fleet: Fleet) -> None:
    rollout = started(fleet)
    ran(fleet, rollout)
    assert find_suspects(fleet.alice, rollout.id).items == ()
