"""A percentage or a maximum of a target: those that come first in the order get the release."""

from uuid import UUID

import pytest

from apps.core.errors import InvalidRequest
from apps.core.pagination import PageRequest
from apps.devices.models import Device
from apps.updates.domain.eligibility import TARGET_LIMIT
from apps.updates.domain.plan import PhasePlan, Plan, order_key
from apps.updates.models import Deployment, Release, Rollout
from apps.updates.selectors.candidates import joining_devices
from apps.updates.selectors.eligibility import explain_device
from apps.updates.selectors.previews import list_excluded, preview_sizes, preview_target
from apps.updates.selectors.rollouts import get_rollout
from apps.updates.services.forecasts import forecast_rollout
from apps.updates.services.joining import join_rollout
from apps.updates.services.planning import create_rollout, update_rollout
from apps.updates.services.rollouts import start_rollout
from apps.updates.types import Target
from tests import factories
from tests.updates.conftest import Fleet, make_rollout


def in_order(fleet: Fleet, rollout: Rollout) -> list[UUID]:
    """All devices of the fleet as the rollout orders them."""
    return sorted(fleet.device_ids, key=lambda id_: order_key(id_, rollout.id))


def members(rollout: Rollout) -> set[UUID]:
    """The devices that are in the rollout."""
    rows = Deployment.objects.for_org(rollout.organization_id).filter(rollout_id=rollout.id)
    return set(rows.values_list("device_id", flat=True))


def begun(fleet: Fleet, release: Release, target: Target, plan: Plan | None = None) -> Rollout:
    """A running rollout to a part of the fleet."""
    rollout = make_rollout(fleet.alice, release, target=target, plan=plan or Plan())
    return start_rollout(fleet.alice, rollout.id)


@pytest.mark.parametrize(
    ("total", "percent", "maximum", "number"),
    [
        (8, 0, 0, 8),
        (8, 100, 0, 8),
        (8, 10, 0, 1),
        (100_000, 1, 0, 1000),
        (8, 50, 3, 3),
        (8, 50, 100, 4),
        (0, 50, 3, 0),
        (3, 0, 5, 3),
    ],
)
def test_a_percentage_is_rounded_up_and_ends_at_the_maximum(
    total: int, percent: int, maximum: int, number: int
) -> None:
    assert Target(percent=percent, maximum=maximum).places(total) == number


@pytest.mark.parametrize(
    ("target", "number"),
    [(Target(maximum=3), 3), (Target(percent=30), 3), (Target(percent=100, maximum=99), 8)],
)
def test_those_who_come_first_in_the_order_are_taken(
    fleet: Fleet, release: Release, target: Target, number: int
) -> None:
    rollout = begun(fleet, release, target)
    assert members(rollout) == set(in_order(fleet, rollout)[:number])


def test_devices_that_cannot_get_it_take_nobodys_place(fleet: Fleet, release: Release) -> None:
    excluded = Target(device_ids=tuple(fleet.device_ids[:5]))
    rollout = make_rollout(fleet.alice, release, target=Target(maximum=3), excluded=excluded)
    start_rollout(fleet.alice, rollout.id)
    assert members(rollout) == set(fleet.device_ids[5:])


def test_preview_dry_run_forecast_and_start_say_the_same(fleet: Fleet, release: Release) -> None:
    target, plan = Target(percent=60), Plan((PhasePlan(50), PhasePlan(100)))
    preview = preview_target(fleet.alice, release.id, target)
    assert (preview.matched, preview.will_update) == (8, 5)
    assert [(each.code, each.count) for each in preview.reasons] == [(TARGET_LIMIT, 3)]
    assert preview_sizes(fleet.alice, release.id, target, None, plan.phases) == (3, 2)
    tried = create_rollout(
        fleet.alice,
        name="Try",
        release_id=release.id,
        target=target,
        plan=plan,
        validate_only=True,
    )
    assert [phase.total for phase in tried.phases.all()] == [3, 2]
    rollout = make_rollout(fleet.alice, release, target=target, plan=plan)
    assert [p.devices for p in forecast_rollout(fleet.alice, rollout.id, runs=1).phases] == [3, 2]
    start_rollout(fleet.alice, rollout.id)
    found = get_rollout(fleet.alice, rollout.id).phases.all()
    assert [phase.total for phase in found] == [3, 2]


def test_phases_with_filters_share_out_those_that_are_taken(fleet: Fleet, release: Release) -> None:
    phases = (PhasePlan(0, filter='model = "none"'), PhasePlan(50), PhasePlan(100))
    target = Target(maximum=4)
    assert preview_sizes(fleet.alice, release.id, target, None, phases) == (0, 2, 2)


def test_everybody_is_told_whether_a_place_is_left(fleet: Fleet, release: Release) -> None:
    rollout = make_rollout(fleet.alice, release, target=Target(maximum=3))
    for has_begun in (False, True):
        if has_begun:
            start_rollout(fleet.alice, rollout.id)
        for place, device_id in enumerate(in_order(fleet, rollout)):
            found = explain_device(fleet.alice, device_id, rollout.id)
            reason = next(each for each in found.reasons if each.code == TARGET_LIMIT)
            assert reason.holds == (place < 3), reason.words
            assert found.is_chosen == (place < 3)


def test_who_comes_last_is_not_known_before_the_rollout_is(fleet: Fleet, release: Release) -> None:
    with pytest.raises(InvalidRequest, match="settled with the rollout"):
        list_excluded(
            fleet.alice,
            release.id,
            Target(maximum=3),
            code=TARGET_LIMIT,
            page=PageRequest(),
        )


@pytest.mark.parametrize(("target", "after"), [(Target(maximum=9), 9), (Target(percent=50), 6)])
def test_latecomers_find_only_the_places_that_are_left(
    fleet: Fleet, release: Release, target: Target, after: int
) -> None:
    rollout = begun(fleet, release, target, Plan(is_dynamic=True))
    assert len(members(rollout)) == target.places(8)
    for number in range(4):
        factories.device(fleet.organization_id, f"late {number}")
    told = {
        device_id
        for device_id in Device.objects.for_org(fleet.organization_id).values_list("id", flat=True)
        if device_id not in members(rollout)
        and next(
            reason.holds
            for reason in explain_device(fleet.alice, device_id, rollout.id).reasons
            if reason.code == TARGET_LIMIT
        )
    }
    before = members(rollout)
    assert join_rollout(fleet.system, rollout.id) == after - len(before)
    assert members(rollout) - before == told
    assert join_rollout(fleet.system, rollout.id) == 0
    assert not joining_devices(fleet.system, get_rollout(fleet.alice, rollout.id)).exists()


@pytest.mark.parametrize(
    ("values", "field"), [({"percent": 101}, "percent"), ({"maximum": -1}, "maximum")]
)
def test_other_numbers_are_refused(
    fleet: Fleet, release: Release, values: dict[str, int], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        make_rollout(fleet.alice, release, target=Target(**values))
    assert caught.value.fields[0].field == field


def test_an_exclusion_has_no_percentage(fleet: Fleet, release: Release) -> None:
    with pytest.raises(InvalidRequest, match="leaves all of them out"):
        make_rollout(fleet.alice, release, target=Target(), excluded=Target(percent=10))


def test_a_change_of_the_part_is_a_change_of_the_plan(fleet: Fleet, release: Release) -> None:
    rollout = make_rollout(fleet.alice, release, target=Target(percent=10))
    changed = update_rollout(
        fleet.alice,
        rollout.id,
        name=rollout.name,
        release_id=release.id,
        target=Target(percent=20),
    )
    assert changed.plan_hash != rollout.plan_hash
