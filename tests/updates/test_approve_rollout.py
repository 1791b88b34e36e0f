"""Submitting and approving: another person, and exactly this plan."""

from dataclasses import replace

import pytest

from apps.audit.models import AuditEntry
from apps.core.actors import Actor, ActorKind, system_actor
from apps.core.authz import Role
from apps.core.errors import NotFound, PermissionDenied
from apps.devices.models import Device
from apps.devices.services.groups import create_device_group, update_device_group
from apps.organizations.services.service_accounts import create_service_account
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.errors import (
    ApprovalNeedsAnotherPerson,
    PlanChanged,
    RolloutNeedsApproval,
    RolloutNotDraft,
    RolloutNotPendingApproval,
)
from apps.updates.models import Component, Release, Rollout
from apps.updates.selectors.bindings import bindings_of
from apps.updates.services.planning import approve_rollout, submit_rollout
from apps.updates.services.rollouts import cancel_rollout, start_rollout
from apps.updates.types import Target
from tests import factories
from tests.factories import Cast
from tests.updates.conftest import Fleet, make_rollout


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


def test_a_key_of_a_service_account_is_no_second_person(
    acme: Cast, alice: Actor, rollout: Rollout
) -> None:
    """Whoever may make service accounts would hold both hands."""
    account = create_service_account(alice, name="bot", role=Role.DEPLOYER)
    bot = replace(factories.actor(account.membership), kind=ActorKind.API_KEY)
    submit_rollout(alice, rollout.id)
    with pytest.raises(PermissionDenied):
        approve_rollout(bot, rollout.id, plan_hash=rollout.plan_hash)


GROUPS = {
    "as target": lambda group: {"target": Target(group_ids=(group.id,))},
    "in a filter": lambda group: {"target": Target(filter='group = "lab"')},
    "left out": lambda group: {"excluded": Target(group_ids=(group.id,))},
    "in a phase": lambda group: {
        "plan": Plan((PhasePlan(0, filter='group = "lab"'), PhasePlan(100)))
    },
}


@pytest.mark.parametrize("way", GROUPS)
def test_a_smart_group_that_means_others_since_the_approval_is_not_started(
    alice: Actor, dora: Actor, erin: Actor, fleet: Fleet, release: Release, way: str
) -> None:
    """Operators change groups and may not plan rollouts."""
    first = Device.objects.for_org(fleet.organization_id).order_by("id")[0]
    group = create_device_group(erin, name="lab", filter=f'name = "{first.name}"')
    rollout = make_rollout(alice, release, requires_approval=True, **GROUPS[way](group))
    submit_rollout(alice, rollout.id)
    approve_rollout(dora, rollout.id, plan_hash=rollout.plan_hash)
    update_device_group(erin, group.id, filter="lifecycle = active")
    with pytest.raises(PlanChanged):
        start_rollout(alice, rollout.id)
    update_device_group(erin, group.id, filter=f'name = "{first.name}"')
    assert start_rollout(alice, rollout.id).state == "running"


def test_another_group_of_the_same_name_is_not_what_was_approved(
    alice: Actor, dora: Actor, erin: Actor, fleet: Fleet, release: Release
) -> None:
    group = create_device_group(erin, name="lab", filter="lifecycle = active")
    target = Target(filter='group = "lab"')
    rollout = make_rollout(alice, release, requires_approval=True, target=target)
    submit_rollout(alice, rollout.id)
    approve_rollout(dora, rollout.id, plan_hash=rollout.plan_hash)
    update_device_group(erin, group.id, name="old")
    with pytest.raises(PlanChanged):
        start_rollout(alice, rollout.id)
    create_device_group(erin, name="lab", filter="lifecycle = active")
    with pytest.raises(PlanChanged):
        start_rollout(alice, rollout.id)


def test_plans_without_such_groups_have_the_hash_that_they_had(
    alice: Actor, acme: Cast, release: Release
) -> None:
    target = Target(group_ids=(acme.group.id,), filter='name = "x"')
    rollout = make_rollout(alice, release, target=target)
    assert bindings_of(acme.id, target, Target(), rollout.planned()) == {}
