"""Planning rollouts."""

from uuid import uuid4

import pytest

from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.pagination import PageRequest
from apps.devices.domain.states import Lifecycle
from apps.events.models import OutboxEvent
from apps.updates.domain.verdict import verdict
from apps.updates.errors import RolloutTargetEmpty
from apps.updates.models import Phase, Release, Rollout, RolloutEvent
from apps.updates.selectors.rollouts import (
    count_target_devices,
    get_rollout,
    list_rollout_events,
    list_rollouts,
)
from apps.updates.types import Target
from tests import factories
from tests.factories import Cast
from tests.updates.conftest import make_release, make_rollout


def test_a_draft_has_its_phases_its_log_and_its_audit_entry(alice: Actor, release: Release) -> None:
    rollout = make_rollout(alice, release, phase_percents=(5, 50, 100))
    assert rollout.state == "draft"
    assert [(p.index, p.percent, p.state) for p in rollout.phases.all()] == [
        (0, 5, "waiting"),
        (1, 50, "waiting"),
        (2, 100, "waiting"),
    ]
    events = list_rollout_events(alice, rollout.id, PageRequest()).items
    assert [(e.sequence, e.type) for e in events] == [(1, "created")]
    assert verdict(rollout, clock.now()) == "Draft: nothing happens until it is started."
    assert rollout.created_by_id == alice.user_id
    entry = AuditEntry.objects.for_org(alice.organization_id).latest("sequence")
    assert (entry.action, entry.object_id) == ("updates.create_rollout", str(rollout.id))


def test_a_dry_run_answers_the_same_and_leaves_nothing(alice: Actor, release: Release) -> None:
    entries = AuditEntry.objects.for_org(alice.organization_id).count()
    events = OutboxEvent.objects.for_org(alice.organization_id).count()
    rollout = make_rollout(alice, release, phase_percents=(50, 100), validate_only=True)
    assert [p.percent for p in rollout.phases.all()] == [50, 100]
    assert rollout.release.name == "hello"
    assert verdict(rollout, clock.now()).startswith("Draft")
    for model in (Rollout, Phase, RolloutEvent):
        assert not model.objects.for_org(alice.organization_id).exists()
    assert AuditEntry.objects.for_org(alice.organization_id).count() == entries
    assert OutboxEvent.objects.for_org(alice.organization_id).count() == events
    with pytest.raises(NotFound):
        get_rollout(alice, rollout.id)


@pytest.mark.parametrize("percents", [(50,), (60, 40, 100), (0, 100), (5, 5, 100)])
def test_a_dry_run_refuses_what_a_real_run_refuses(
    alice: Actor, release: Release, percents: tuple[int, ...]
) -> None:
    for is_dry in (True, False):
        with pytest.raises(InvalidRequest) as refused:
            make_rollout(alice, release, phase_percents=percents, validate_only=is_dry)
        assert refused.value.fields[0].code == "invalid_plan"


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "x" * 201])
def test_odd_names_are_refused(alice: Actor, release: Release, name: str) -> None:
    with pytest.raises(InvalidRequest):
        make_rollout(alice, release, name=name)


@pytest.mark.parametrize("seconds", [0, 59, 604_801])
def test_time_limits_out_of_bounds_are_refused(
    alice: Actor, release: Release, seconds: int
) -> None:
    with pytest.raises(InvalidRequest):
        make_rollout(alice, release, deployment_timeout_seconds=seconds)


def test_a_target_without_active_devices_is_refused(
    alice: Actor, acme: Cast, release: Release
) -> None:
    pending = factories.device(acme.id, lifecycle=Lifecycle.PENDING)
    for target in (Target(tags=("nowhere",)), Target(device_ids=(pending.id,))):
        with pytest.raises(RolloutTargetEmpty) as refused:
            make_rollout(alice, release, target=target)
        assert refused.value.code == "rollout_target_empty"


def test_a_device_that_any_name_means_is_a_target(
    alice: Actor, acme: Cast, release: Release
) -> None:
    tagged = factories.device(acme.id, tags=["lab"])
    target = Target((acme.devices[1].id,), ("lab",), (acme.group.id,))
    assert count_target_devices(alice, target) == 3
    rollout = make_rollout(alice, release, target=target)
    assert Target.restore(rollout.target) == target
    assert str(tagged.id) not in rollout.target["device_ids"]


def test_devices_groups_and_releases_of_others_are_not_found(
    alice: Actor, release: Release, globex: Cast
) -> None:
    for target in (Target(device_ids=(globex.device.id,)), Target(group_ids=(globex.group.id,))):
        with pytest.raises(NotFound):
            make_rollout(alice, release, target=target)
    release.id = uuid4()
    with pytest.raises(NotFound):
        make_rollout(alice, release)


def test_too_many_names_are_refused(alice: Actor, release: Release) -> None:
    with pytest.raises(InvalidRequest):
        make_rollout(alice, release, target=Target(device_ids=tuple(uuid4() for _ in range(1001))))


def test_an_operator_cannot_plan_rollouts(erin: Actor, release: Release) -> None:
    with pytest.raises(PermissionDenied):
        make_rollout(erin, release)


def test_the_plan_hash_is_that_of_the_plan(alice: Actor, release: Release) -> None:
    first = make_rollout(alice, release, name="first")
    assert make_rollout(alice, release, name="second").plan_hash == first.plan_hash
    others = [
        make_rollout(alice, release, phase_percents=(50, 100)),
        make_rollout(alice, release, requires_approval=True),
        make_rollout(alice, release, deployment_timeout_seconds=60),
        make_rollout(alice, make_release(alice, "2.0.0", b"other")),
    ]
    assert len({first.plan_hash, *(o.plan_hash for o in others)}) == 5


def test_lists_show_newest_first_and_only_ones_own(
    alice: Actor, charlie: Actor, release: Release
) -> None:
    made = [make_rollout(alice, release, name=f"r{n}").id for n in range(3)]
    assert [r.id for r in list_rollouts(alice, PageRequest()).items] == made[::-1]
    assert list_rollouts(alice, PageRequest(), state="running").items == []
    assert list_rollouts(charlie, PageRequest()).items == []
    with pytest.raises(InvalidRequest):
        list_rollouts(alice, PageRequest(), state="levitating")
