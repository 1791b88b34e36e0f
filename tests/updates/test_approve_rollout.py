"""Submitting and approving: another person, and exactly this plan."""

import pytest

from apps.audit.models import AuditEntry
from apps.core.actors import Actor, system_actor
from apps.core.authz import Role
from apps.core.errors import NotFound, PermissionDenied
from apps.updates.errors import (
    ApprovalNeedsAnotherPerson,
    PlanChanged,
    RolloutNeedsApproval,
    RolloutNotDraft,
    RolloutNotPendingApproval,
)
from apps.updates.models import Component, Release, Rollout
from apps.updates.services.planning import approve_rollout, submit_rollout
from apps.updates.services.rollouts import cancel_rollout, start_rollout
from tests import factories
from tests.factories import Cast
from tests.updates.conftest import make_rollout


@pytest.fixture
def dora(acme: Cast) -> Actor:
    """A deployer of acme."""
    person = factories.user("dora@acme.test")
    return factories.actor(factories.membership(acme.id, person, Role.DEPLOYER))


@pytest.fixture
def rollout(alice: Actor, release: Release) -> Rollout:
    return make_rollout(alice, release, requires_approval=True)


def test_another_person_approves_and_the_rollout_can_start(
    alice: Actor, dora: Actor, rollout: Rollout
) -> None:
    assert submit_rollout(alice, rollout.id).state == "pending_approval"
    approved = approve_rollout(dora, rollout.id, plan_hash=rollout.plan_hash)
    assert (approved.state, approved.approved_by) == ("scheduled", "dora@acme.test")
    assert start_rollout(alice, rollout.id).state == "running"
    actions = AuditEntry.objects.for_org(alice.organization_id).values_list("action", "actor_label")
    assert ("updates.submit_rollout", "alice@acme.test") in actions
    assert ("updates.approve_rollout", "dora@acme.test") in actions


def test_its_maker_cannot_approve_it(alice: Actor, rollout: Rollout) -> None:
    submit_rollout(alice, rollout.id)
    with pytest.raises(ApprovalNeedsAnotherPerson) as refused:
        approve_rollout(alice, rollout.id, plan_hash=rollout.plan_hash)
    assert refused.value.code == "approval_needs_another_person"


def test_nobody_but_a_person_approves(alice: Actor, rollout: Rollout) -> None:
    submit_rollout(alice, rollout.id)
    with pytest.raises(PermissionDenied):
        approve_rollout(
            system_actor(alice.organization_id), rollout.id, plan_hash=rollout.plan_hash
        )


def test_an_approval_is_for_one_plan_only(alice: Actor, dora: Actor, rollout: Rollout) -> None:
    submit_rollout(alice, rollout.id)
    for other in ("", "0" * 64):
        with pytest.raises(PlanChanged) as refused:
            approve_rollout(dora, rollout.id, plan_hash=other)
        assert refused.value.code == "plan_changed"


def test_a_plan_that_changed_after_the_approval_does_not_start(
    alice: Actor, dora: Actor, rollout: Rollout
) -> None:
    submit_rollout(alice, rollout.id)
    approve_rollout(dora, rollout.id, plan_hash=rollout.plan_hash)
    Component.objects.for_org(alice.organization_id).update(target="/tmp/elsewhere")
    with pytest.raises(PlanChanged):
        start_rollout(alice, rollout.id)


def test_without_approval_it_does_not_start(alice: Actor, rollout: Rollout) -> None:
    with pytest.raises(RolloutNeedsApproval):
        start_rollout(alice, rollout.id)
    submit_rollout(alice, rollout.id)
    with pytest.raises(RolloutNeedsApproval):
        start_rollout(alice, rollout.id)


def test_repeating_submission_and_approval_changes_nothing(
    alice: Actor, dora: Actor, rollout: Rollout
) -> None:
    submit_rollout(alice, rollout.id)
    submit_rollout(alice, rollout.id)
    approve_rollout(dora, rollout.id, plan_hash=rollout.plan_hash)
    entries = AuditEntry.objects.for_org(alice.organization_id).count()
    assert approve_rollout(dora, rollout.id, plan_hash=rollout.plan_hash).state == "scheduled"
    assert AuditEntry.objects.for_org(alice.organization_id).count() == entries


def test_what_was_not_submitted_or_is_over_is_not_approved(
    alice: Actor, dora: Actor, rollout: Rollout
) -> None:
    with pytest.raises(RolloutNotPendingApproval):
        approve_rollout(dora, rollout.id, plan_hash=rollout.plan_hash)
    cancel_rollout(alice, rollout.id)
    with pytest.raises(RolloutNotPendingApproval):
        approve_rollout(dora, rollout.id, plan_hash=rollout.plan_hash)
    with pytest.raises(RolloutNotDraft):
        submit_rollout(alice, rollout.id)


def test_a_rollout_that_needs_no_approval_is_ready_when_submitted(
    alice: Actor, release: Release
) -> None:
    rollout = make_rollout(alice, release)
    assert submit_rollout(alice, rollout.id).state == "scheduled"
    assert start_rollout(alice, rollout.id).state == "running"


def test_operators_cannot_approve_and_others_do_not_find_it(
    alice: Actor, erin: Actor, charlie: Actor, rollout: Rollout
) -> None:
    submit_rollout(alice, rollout.id)
    with pytest.raises(PermissionDenied):
        approve_rollout(erin, rollout.id, plan_hash=rollout.plan_hash)
    with pytest.raises(NotFound):
        approve_rollout(charlie, rollout.id, plan_hash=rollout.plan_hash)
