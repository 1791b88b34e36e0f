"""Changing, rejecting, cloning and retrying plans; and devices that are left out."""

import pytest

from apps.core.actors import Actor
from apps.core.authz import CUSTOM, Role
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.updates.domain.installation import Installation
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.errors import (
    ApprovalNeedsAnotherPerson,
    NothingToRetry,
    PlanChanged,
    RolloutNeedsApproval,
    RolloutNotDraft,
    RolloutNotPendingApproval,
    RolloutTargetEmpty,
)
from apps.updates.models import Deployment, Release, Rollout, RolloutEvent
from apps.updates.selectors.rollouts import check_log
from apps.updates.services.planning import (
    approve_rollout,
    clone_rollout,
    reject_rollout,
    retry_rollout,
    submit_rollout,
    update_rollout,
)
from apps.updates.services.rollouts import start_rollout
from apps.updates.types import Target
from tests import factories
from tests.factories import Cast
from tests.updates.conftest import Fleet, make_release, make_rollout

DOWN = Plan(installation=Installation(allow_downgrade=True))


def deployer(acme: Cast, name: str) -> Actor:
    person = factories.user(f"{name}@acme.test")
    return factories.actor(factories.membership(acme.id, person, Role.DEPLOYER))


@pytest.fixture
def dora(acme: Cast) -> Actor:
    return deployer(acme, "dora")


@pytest.fixture
def rollout(alice: Actor, release: Release) -> Rollout:
    """One that waits for approval."""
    made = make_rollout(alice, release, requires_approval=True)
    return submit_rollout(alice, made.id)


def edit(actor: Actor, rollout: Rollout, **values: object) -> Rollout:
    values = {"requires_approval": True, "target": Target(), **values}
    return update_rollout(
        actor, rollout.id, name="Changed", release_id=rollout.release_id, **values
    )


def test_a_change_voids_what_was_approved(alice: Actor, dora: Actor, rollout: Rollout) -> None:
    approve_rollout(dora, rollout.id, plan_hash=rollout.plan_hash)
    changed = edit(alice, rollout, plan=Plan((PhasePlan(50), PhasePlan(100))))
    assert (changed.state, changed.approved_by, changed.approved_hash) == ("draft", "", "")
    assert changed.plan_hash != rollout.plan_hash
    assert [phase.percent for phase in changed.phases.all()] == [50, 100]
    with pytest.raises(RolloutNeedsApproval):
        start_rollout(alice, rollout.id)
    submit_rollout(alice, rollout.id)
    with pytest.raises(PlanChanged):
        approve_rollout(dora, rollout.id, plan_hash=rollout.plan_hash)
    assert check_log(alice, rollout.id).differences == ()


def test_whoever_changed_a_plan_does_not_approve_it(
    alice: Actor, dora: Actor, rollout: Rollout
) -> None:
    changed = edit(dora, rollout)
    submit_rollout(alice, rollout.id)
    for maker in (dora, alice):
        with pytest.raises(ApprovalNeedsAnotherPerson):
            approve_rollout(maker, rollout.id, plan_hash=changed.plan_hash)


def test_somebody_who_changed_nothing_approves_what_two_have_made(
    alice: Actor, dora: Actor, rollout: Rollout, acme: Cast
) -> None:
    changed = edit(dora, rollout)
    submit_rollout(alice, rollout.id)
    eve = deployer(acme, "eve")
    assert approve_rollout(eve, rollout.id, plan_hash=changed.plan_hash).state == "scheduled"


def test_what_was_started_is_not_changed_any_more(alice: Actor, release: Release) -> None:
    running = start_rollout(alice, make_rollout(alice, release).id)
    with pytest.raises(RolloutNotDraft):
        edit(alice, running)


def test_a_rejected_plan_is_a_draft_again_with_the_reason(
    alice: Actor, dora: Actor, rollout: Rollout
) -> None:
    with pytest.raises(InvalidRequest):
        reject_rollout(dora, rollout.id, reason="  ")
    rejected = reject_rollout(dora, rollout.id, reason="Not on a Friday.")
    assert rejected.state == "draft"
    event = RolloutEvent.objects.for_org(alice.organization_id).get(type="rejected")
    assert (event.data["by"], event.data["reason"]) == ("dora@acme.test", "Not on a Friday.")
    again = reject_rollout(dora, rollout.id, reason="Nor on a Monday.")
    assert again.event_count == rejected.event_count
    with pytest.raises(RolloutNeedsApproval):
        start_rollout(alice, rollout.id)


def test_a_running_rollout_cannot_be_rejected(
    alice: Actor, bob: Actor, dora: Actor, rollout: Rollout
) -> None:
    with pytest.raises(PermissionDenied):
        reject_rollout(bob, rollout.id, reason="I do not like it.")
    approve_rollout(dora, rollout.id, plan_hash=rollout.plan_hash)
    start_rollout(alice, rollout.id)
    with pytest.raises(RolloutNotPendingApproval):
        reject_rollout(dora, rollout.id, reason="Too late.")


def test_the_first_phase_cannot_need_an_approval_of_its_own(alice: Actor, release: Release) -> None:
    with pytest.raises(InvalidRequest):
        make_rollout(alice, release, plan=Plan((PhasePlan(100, needs_approval=True),)))


def test_only_who_may_plan_to_older_versions_does(
    alice: Actor, release: Release, acme: Cast
) -> None:
    role = factories.custom_role(
        acme.id,
        "planner",
        "updates.create_rollout",
        "updates.view_rollouts",
        "devices.view_devices",
    )
    member = factories.membership(acme.id, factories.user("pat@acme.test"), Role.VIEWER)
    member.role, member.custom_role = CUSTOM, role
    member.save()
    planner = factories.actor(member)
    make_rollout(planner, release)
    with pytest.raises(PermissionDenied):
        make_rollout(planner, release, plan=DOWN)
    assert make_rollout(alice, release, plan=DOWN).planned().installation.allow_downgrade


def test_devices_are_told_whether_they_may_go_back(fleet: Fleet) -> None:
    for version, plan, may in (("1.0.0", DOWN, True), ("1.1.0", Plan(), False)):
        release = make_release(fleet.alice, version)
        start_rollout(fleet.alice, make_rollout(fleet.alice, release, plan=plan).id)
        offers = fleet.claim()
        assert {offer.allow_downgrade for offer in offers} == {may}
        fleet.finish(offers)


def test_excluded_devices_are_left_out(fleet: Fleet, release: Release) -> None:
    out = Target(device_ids=tuple(fleet.device_ids[:3]))
    made = make_rollout(fleet.alice, release, excluded=out)
    start_rollout(fleet.alice, made.id)
    assert {o.device_id for o in fleet.claim()} == set(fleet.device_ids[3:])


def test_a_target_that_excludes_everything_is_refused(fleet: Fleet, release: Release) -> None:
    everybody = Target(device_ids=tuple(fleet.device_ids))
    with pytest.raises(RolloutTargetEmpty):
        make_rollout(fleet.alice, release, excluded=everybody)


def failed_rollout(fleet: Fleet) -> Rollout:
    rollout = fleet.start()
    offers = sorted(fleet.claim(), key=lambda offer: offer.device_id)
    fleet.finish(offers[:2], "failed")
    fleet.finish(offers[2:])
    return fleet.advance(rollout)


def test_a_retry_is_for_the_failed_devices_only_and_leaves_the_past_alone(fleet: Fleet) -> None:
    source = failed_rollout(fleet)
    rows = Deployment.objects.for_org(fleet.organization_id).filter(rollout_id=source.id)
    before = sorted(rows.values_list("id", "state"))
    failed = set(rows.filter(state="failed").values_list("device_id", flat=True))
    draft = retry_rollout(fleet.alice, source.id)
    assert (draft.state, draft.name) == ("draft", "Say hello (failed devices)")
    start_rollout(fleet.alice, draft.id)
    assert {o.device_id for o in fleet.claim()} == failed
    assert sorted(rows.values_list("id", "state")) == before


def test_devices_that_failed_elsewhere_can_be_left_out(fleet: Fleet, release: Release) -> None:
    source, later = failed_rollout_of(fleet, release), make_release(fleet.alice, "1.1.0")
    made = make_rollout(fleet.alice, later, excluded=Target(failed_in=source.id))
    start_rollout(fleet.alice, made.id)
    assert len(fleet.claim()) == 6


def failed_rollout_of(fleet: Fleet, release: Release) -> Rollout:
    rollout = start_rollout(fleet.alice, make_rollout(fleet.alice, release).id)
    offers = fleet.claim()
    fleet.finish(offers[:2], "failed")
    fleet.finish(offers[2:])
    return fleet.advance(rollout)


def test_nothing_is_retried_where_nothing_failed(fleet: Fleet) -> None:
    rollout = fleet.start()
    fleet.finish(fleet.claim())
    fleet.advance(rollout)
    with pytest.raises(NothingToRetry):
        retry_rollout(fleet.alice, rollout.id)


def test_a_rollout_of_another_organization_is_no_target(
    charlie: Actor, fleet: Fleet, release: Release
) -> None:
    source = failed_rollout_of(fleet, release)
    with pytest.raises(NotFound):
        retry_rollout(charlie, source.id)
    with pytest.raises(NotFound):
        clone_rollout(charlie, source.id)


def test_a_clone_has_the_plan_and_nothing_of_the_past(fleet: Fleet, release: Release) -> None:
    plan = Plan((PhasePlan(50, name="Half"), PhasePlan(100)), priority=3)
    source = make_rollout(fleet.alice, release, plan=plan, requires_approval=True)
    copy = clone_rollout(fleet.alice, source.id)
    assert (copy.state, copy.name, copy.priority) == ("draft", "Say hello (copy)", 3)
    assert copy.planned() == source.planned()
    assert (copy.target, copy.requires_approval) == (source.target, True)
    assert copy.plan_hash == source.plan_hash
    assert copy.approved_by == ""


def test_a_newer_version_of_what_was_planned_is_another_plan(
    alice: Actor, rollout: Rollout
) -> None:
    newer = make_release(alice, "2.0.0", b"echo newer\n")
    changed = update_rollout(
        alice, rollout.id, name="x", release_id=newer.id, target=Target(), requires_approval=True
    )
    assert changed.plan_hash != rollout.plan_hash
