"""Phases that take the devices that match a filter, beside phases that share out the rest."""

import pytest

from apps.core.errors import InvalidRequest
from apps.core.filters import FilterError
from apps.devices.models import Device
from apps.updates.domain.plan import PhasePlan, Plan, order_key
from apps.updates.models import Deployment, Rollout
from apps.updates.selectors.candidates import receiving_devices
from apps.updates.selectors.phases import preview_phases
from apps.updates.services.rollbacks import roll_back_rollout
from apps.updates.services.rollouts import start_rollout
from tests.updates.conftest import (
    Fleet,
    counts_of_phases,
    counts_of_rows,
    make_release,
    make_rollout,
)

PHASES = (
    PhasePlan(0, filter='tags:"lab"'),
    PhasePlan(50),
    PhasePlan(0, filter='labels.site = "oslo" OR tags:"lab"'),
    PhasePlan(100),
)


@pytest.fixture
def sites(fleet: Fleet) -> Fleet:
    """Of eight devices two are of the lab and three in Oslo, one of which is of the lab too."""
    rows = Device.objects.for_org(fleet.organization_id)
    rows.filter(id__in=fleet.device_ids[:2]).update(tags=["lab"])
    rows.filter(id__in=fleet.device_ids[1:4]).update(inventory={"facts": {"site": "oslo"}})
    return fleet


def plan(fleet: Fleet, phases: tuple[PhasePlan, ...] = PHASES) -> Rollout:
    """A draft in these phases."""
    return make_rollout(fleet.alice, make_release(fleet.alice), plan=Plan(phases))


def in_phase(rollout: Rollout, index: int) -> set[object]:
    """The devices of one phase."""
    rows = Deployment.objects.for_org(rollout.organization_id)
    found = rows.filter(rollout_id=rollout.id, phase_index=index)
    return set(found.values_list("device_id", flat=True))


def test_a_device_is_in_the_first_phase_whose_filter_it_matches(sites: Fleet) -> None:
    rollout = start_rollout(sites.alice, plan(sites).id)
    assert in_phase(rollout, 0) == {*sites.device_ids[:2]}
    assert in_phase(rollout, 2) == {*sites.device_ids[2:4]}


def test_the_other_phases_share_out_the_rest_in_the_rollouts_own_order(sites: Fleet) -> None:
    rollout = start_rollout(sites.alice, plan(sites).id)
    rest = sorted(sites.device_ids[4:], key=lambda device: order_key(device, rollout.id))
    assert (in_phase(rollout, 1), in_phase(rollout, 3)) == ({*rest[:2]}, {*rest[2:]})
    assert counts_of_phases(rollout) == counts_of_rows(rollout)


def test_what_is_shown_before_the_start_is_what_starts(sites: Fleet) -> None:
    draft = plan(sites)
    devices = receiving_devices(sites.alice, draft)
    shown = preview_phases(sites.alice, devices, draft.planned().phases)
    started = start_rollout(sites.alice, draft.id)
    assert shown == tuple(phase.total for phase in sites.phases(started)) == (2, 2, 2, 2)


def test_a_phase_that_takes_nobody_is_passed(sites: Fleet) -> None:
    nobody = PhasePlan(0, filter='labels.site = "nowhere"')
    rollout = start_rollout(sites.alice, plan(sites, (nobody, PhasePlan(100))).id)
    assert sites.claim() == []
    assert sites.advance(rollout).open_phase == 1
    assert len(sites.claim()) == 8


def test_a_filter_that_cannot_be_read_is_said_at_its_phase(sites: Fleet) -> None:
    with pytest.raises(FilterError) as caught:
        plan(sites, (PhasePlan(0, filter='labls.site = "oslo"'), PhasePlan(100)))
    assert caught.value.fields[0].field == "phases.0.filter"
    assert (caught.value.data["column"], caught.value.data["suggestion"]) == (1, "labels.site")
    assert not Rollout.objects.for_org(sites.organization_id).exists()


@pytest.mark.parametrize(
    "phases",
    [
        (PhasePlan(10, filter='tags:"lab"'), PhasePlan(100)),
        (PhasePlan(0, devices=3, filter='tags:"lab"'), PhasePlan(100)),
        (PhasePlan(100), PhasePlan(0, filter='tags:"lab"')),
    ],
)
def test_a_filter_goes_with_no_share_and_leaves_the_rest_to_the_last_phase(
    sites: Fleet, phases: tuple[PhasePlan, ...]
) -> None:
    with pytest.raises(InvalidRequest):
        plan(sites, phases)


def test_a_roll_back_goes_by_shares(sites: Fleet) -> None:
    rollout = start_rollout(sites.alice, plan(sites, (PhasePlan(100),)).id)
    with pytest.raises(InvalidRequest):
        roll_back_rollout(sites.alice, rollout.id, phases=PHASES)


def test_phases_without_filters_keep_the_hash_of_their_plan() -> None:
    assert "filter" not in Plan((PhasePlan(100),)).dump()["phases"][0]
    assert Plan.restore(Plan(PHASES).dump()) == Plan(PHASES)
