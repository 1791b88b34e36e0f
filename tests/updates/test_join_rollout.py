"""Dynamic rollouts: devices that match later come in, once, and never into old evidence."""

from datetime import timedelta
from uuid import UUID

import pytest

from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import Role
from apps.core.errors import PermissionDenied
from apps.devices.models import Device
from apps.devices.services.groups import (
    create_device_group,
    delete_device_group,
    update_device_group,
)
from apps.updates.domain import engine
from apps.updates.domain.engine import IllegalTransition, LogEvent, reduce
from apps.updates.domain.plan import LATE_PLACES, PhasePlan, Plan, late_bounds, late_place, phase_of
from apps.updates.domain.schedule import Schedule
from apps.updates.domain.verdict import summary
from apps.updates.errors import RolloutNotRunning
from apps.updates.models import Deployment, Rollout, RolloutEvent
from apps.updates.selectors.rollouts import check_log, list_dynamic_rollout_ids
from apps.updates.services import targets
from apps.updates.services.exclusions import exclude_and_continue
from apps.updates.services.joining import close_rollout, join_rollout
from apps.updates.services.planning import approve_rollout, retry_rollout, submit_rollout
from apps.updates.services.rollouts import pause_rollout, resume_rollout, start_rollout
from apps.updates.types import Target
from tests import factories
from tests.factories import Cast
from tests.updates.conftest import (
    Fleet,
    counts_of_phases,
    counts_of_rows,
    make_release,
    make_rollout,
)

HALVES = (PhasePlan(50), PhasePlan(100))
LAB = Target(tags=("lab",))


@pytest.fixture
def lab(fleet: Fleet) -> Fleet:
    """Four of the eight devices are of the lab."""
    tag(fleet, *fleet.device_ids[:4])
    return fleet


def tag(fleet: Fleet, *device_ids: UUID) -> None:
    """These are of the lab from now on."""
    rows = Device.objects.for_org(fleet.organization_id)
    rows.filter(id__in=device_ids).update(tags=["lab"])


def begin(
    fleet: Fleet,
    phases: tuple[PhasePlan, ...] = HALVES,
    target: Target = LAB,
    version: str = "1.0.0",
    **values: object,
) -> Rollout:
    """A running dynamic rollout to the lab."""
    release = make_release(fleet.alice, version, version.encode())
    plan = Plan(phases, is_dynamic=True, **values)
    rollout = make_rollout(fleet.alice, release, plan=plan, target=target)
    return start_rollout(fleet.alice, rollout.id)


def join(fleet: Fleet, rollout: Rollout) -> int:
    """The platform looks; whatever comes of it, counters, rows and log agree."""
    joined = join_rollout(fleet.system, rollout.id)
    assert counts_of_phases(rollout) == counts_of_rows(rollout)
    assert check_log(fleet.alice, rollout.id).differences == ()
    return joined


def phases_of(rollout: Rollout, *device_ids: UUID) -> dict[UUID, int]:
    """In which phase each of these devices is."""
    rows = Deployment.objects.for_org(rollout.organization_id).filter(rollout_id=rollout.id)
    return dict(rows.filter(device_id__in=device_ids).values_list("device_id", "phase_index"))


def pass_all(fleet: Fleet, rollout: Rollout) -> Rollout:
    """Every device of both phases succeeds."""
    for _phase in HALVES:
        fleet.finish(fleet.claim())
        fleet.advance(rollout)
    return fleet.advance(rollout)


def test_a_device_that_matches_later_joins_once(lab: Fleet) -> None:
    rollout = begin(lab)
    assert join(lab, rollout) == 0
    tag(lab, *lab.device_ids[4:])
    assert (join(lab, rollout), join(lab, rollout)) == (4, 0)
    assert sum(phase.total for phase in lab.phases(rollout)) == 8


def test_a_latecomer_goes_where_its_share_says(lab: Fleet) -> None:
    late = [factories.device(lab.organization_id).id for _ in range(30)]
    rollout = begin(lab, (PhasePlan(0, devices=1), PhasePlan(60), PhasePlan(100)))
    tag(lab, *late)
    join(lab, rollout)
    bounds = late_bounds(4, rollout.planned().phases)
    assert bounds == (LATE_PLACES // 4, LATE_PLACES * 60 // 100, LATE_PLACES)
    expected = {id_: phase_of(late_place(id_, rollout.id), bounds) for id_ in late}
    assert phases_of(rollout, *late) == expected
    assert {*expected.values()} == {0, 1, 2}


def test_nobody_joins_a_phase_whose_gate_was_passed(lab: Fleet) -> None:
    rollout = begin(lab)
    lab.finish(lab.claim())
    assert lab.advance(rollout).open_phase == 1
    late = [factories.device(lab.organization_id).id for _ in range(20)]
    tag(lab, *late)
    join(lab, rollout)
    assert set(phases_of(rollout, *late).values()) == {1}


def test_a_latecomer_that_a_phases_filter_takes_goes_there_while_its_gate_is_not_passed(
    lab: Fleet,
) -> None:
    rollout = begin(lab, (PhasePlan(50), PhasePlan(0, filter='tags:"vip"'), PhasePlan(100)))
    late = lab.device_ids[5]
    rows = Device.objects.for_org(lab.organization_id)
    rows.filter(id=late).update(tags=["lab", "vip"])
    join(lab, rollout)
    assert phases_of(rollout, late) == {late: 1}


def test_it_stays_open_when_every_gate_is_passed_and_judges_latecomers(lab: Fleet) -> None:
    rollout = pass_all(lab, begin(lab))
    assert rollout.state == "running"
    tag(lab, lab.device_ids[5])
    assert join(lab, rollout) == 1
    lab.finish(lab.claim(), "failed")
    assert lab.advance(rollout).state == "halted"


def test_a_closed_rollout_takes_nobody_and_completes(lab: Fleet) -> None:
    rollout = pass_all(lab, begin(lab))
    closed = close_rollout(lab.alice, rollout.id)
    assert close_rollout(lab.alice, rollout.id).event_count == closed.event_count
    tag(lab, lab.device_ids[5])
    assert join(lab, rollout) == 0
    assert lab.advance(rollout).state == "completed"
    with pytest.raises(RolloutNotRunning):
        close_rollout(lab.alice, rollout.id)
    entries = AuditEntry.objects.for_org(lab.organization_id)
    assert entries.filter(action="updates.close_rollout").count() == 1


def test_who_may_not_cancel_may_not_close(lab: Fleet, bob: Actor) -> None:
    rollout = begin(lab)
    with pytest.raises(PermissionDenied):
        close_rollout(bob, rollout.id)


def test_at_its_end_time_it_completes(lab: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    end = clock.now() + timedelta(hours=1)
    rollout = pass_all(lab, begin(lab, schedule=Schedule(end_at=end)))
    assert rollout.state == "running"
    tag(lab, lab.device_ids[5])
    monkeypatch.setattr(clock, "now", lambda: end)
    assert join(lab, rollout) == 0
    assert lab.advance(rollout).state == "completed"


def test_while_paused_nobody_joins_and_afterwards_all_do(lab: Fleet) -> None:
    rollout = begin(lab)
    pause_rollout(lab.alice, rollout.id)
    tag(lab, *lab.device_ids[4:])
    assert (join(lab, rollout), list_dynamic_rollout_ids(lab.system)) == (0, [])
    resume_rollout(lab.alice, rollout.id)
    assert list_dynamic_rollout_ids(lab.system) == [rollout.id]
    assert join(lab, rollout) == 4


def test_devices_that_have_the_release_or_a_later_one_do_not_join(lab: Fleet) -> None:
    rollout = begin(lab)
    rows = Device.objects.for_org(lab.organization_id)
    rows.filter(id=lab.device_ids[4]).update(installed={"hello": "1.0.0"})
    rows.filter(id=lab.device_ids[5]).update(installed={"hello": "2.0.0"})
    rows.filter(id=lab.device_ids[6]).update(installed={"hello": "0.9.0"})
    tag(lab, *lab.device_ids[4:7])
    assert join(lab, rollout) == 1
    assert set(phases_of(rollout, *lab.device_ids[4:])) == {lab.device_ids[6]}


def test_devices_that_a_person_left_out_do_not_join(lab: Fleet) -> None:
    rollout = begin(lab)
    exclusions = [["tag", "old"], ["site", "oslo"]]
    snapshot = {**rollout.snapshot, "exclusions": exclusions}
    Rollout.objects.for_org(lab.organization_id).filter(id=rollout.id).update(snapshot=snapshot)
    rows = Device.objects.for_org(lab.organization_id)
    rows.filter(id=lab.device_ids[4]).update(tags=["lab", "old"])
    rows.filter(id=lab.device_ids[5]).update(tags=["lab"], inventory={"facts": {"site": "oslo"}})
    assert join_rollout(lab.system, rollout.id) == 0


@pytest.mark.parametrize("attribute", ["site", "region"])
def test_devices_that_do_not_tell_what_was_left_out_join(lab: Fleet, attribute: str) -> None:
    rollout = begin(lab)
    rows = Device.objects.for_org(lab.organization_id)
    rows.filter(id__in=lab.device_ids[:5]).update(inventory={"facts": {attribute: "oslo"}})
    exclude_and_continue(
        lab.alice, rollout.id, attribute=attribute, value="oslo", reason="They fail."
    )
    rows.filter(id=lab.device_ids[5]).update(inventory={"facts": {attribute: "bergen"}})
    rows.filter(id=lab.device_ids[6]).update(inventory={"facts": {}})
    tag(lab, *lab.device_ids[4:])
    assert join(lab, rollout) == 3


def test_one_look_is_bounded_and_the_next_goes_on(
    lab: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "JOINING_AT_ONCE", 3)
    rollout = begin(lab)
    tag(lab, *lab.device_ids[4:])
    assert [join(lab, rollout) for _ in range(3)] == [3, 1, 0]


def test_the_log_says_how_many_came_into_which_phase(lab: Fleet) -> None:
    rollout = begin(lab)
    tag(lab, *lab.device_ids[4:])
    join(lab, rollout)
    event = RolloutEvent.objects.for_org(lab.organization_id).get(
        rollout_id=rollout.id, type="joined"
    )
    sizes = [phase.total for phase in lab.phases(rollout)]
    assert [2 + event.data["joined"].get(str(index), 0) for index in (0, 1)] == sizes


def test_a_retry_of_failed_devices_is_joined_by_nobody(lab: Fleet) -> None:
    rollout = begin(lab)
    lab.finish(lab.claim(), "failed")
    lab.advance(rollout)
    assert not retry_rollout(lab.alice, rollout.id).planned().is_dynamic


def test_what_is_not_dynamic_is_dumped_and_logged_as_before(lab: Fleet) -> None:
    rollout = lab.start()
    assert "is_dynamic" not in rollout.snapshot
    assert "is_dynamic" not in rollout.plan
    events = RolloutEvent.objects.for_org(lab.organization_id).filter(rollout_id=rollout.id)
    assert "is_dynamic" not in events.get(type="created").data
    event = LogEvent(engine.JOINED, clock.now(), {"joined": {"0": 1}})
    with pytest.raises(IllegalTransition):
        reduce(rollout.status(), event)


def test_a_group_that_means_others_since_the_approval_lets_nobody_in(
    fleet: Fleet, acme: Cast, erin: Actor
) -> None:
    """An approval holds for as long as devices join."""
    first = Device.objects.for_org(fleet.organization_id).order_by("id")[0]
    group = create_device_group(erin, name="lab", filter=f'name = "{first.name}"')
    release, target = make_release(fleet.alice), Target(group_ids=(group.id,))
    plan = Plan(HALVES, is_dynamic=True)
    rollout = make_rollout(fleet.alice, release, plan=plan, target=target, requires_approval=True)
    submit_rollout(fleet.alice, rollout.id)
    dora = factories.membership(acme.id, factories.user("dora@acme.test"), Role.DEPLOYER)
    approve_rollout(factories.actor(dora), rollout.id, plan_hash=rollout.plan_hash)
    start_rollout(fleet.alice, rollout.id)
    assert join(fleet, rollout) == 0
    update_device_group(erin, group.id, filter="lifecycle = active")
    assert join(fleet, rollout) == 0
    assert list_dynamic_rollout_ids(fleet.system) == []
    last = RolloutEvent.objects.for_org(acme.id).filter(rollout_id=rollout.id).latest("sequence")
    assert last.type == engine.CLOSED
    assert "not what was approved" in summary(last.type, last.data)


@pytest.mark.parametrize("way", ["target", "filter"])
def test_a_group_that_is_gone_closes_the_rollout_instead_of_failing_for_ever(
    fleet: Fleet, acme: Cast, erin: Actor, way: str
) -> None:
    group = create_device_group(erin, name="lab", filter="lifecycle = active")
    target = Target(group_ids=(group.id,)) if way == "target" else Target(filter='group = "lab"')
    rollout = begin(fleet, target=target)
    delete_device_group(erin, group.id)
    assert join(fleet, rollout) == 0
    assert list_dynamic_rollout_ids(fleet.system) == []
    last = RolloutEvent.objects.for_org(acme.id).filter(rollout_id=rollout.id).latest("sequence")
    assert "cannot be asked any more" in summary(last.type, last.data)
