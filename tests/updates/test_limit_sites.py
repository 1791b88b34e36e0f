"""What a site bears: how many of its devices are at work at a time, and what each may download."""

from collections import Counter
from uuid import UUID

import pytest

from apps.core.errors import InvalidRequest
from apps.devices.models import Device
from apps.updates.domain.eligibility import BANDWIDTH, IN_FLIGHT_LIMIT
from apps.updates.domain.installation import Installation
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.domain.sites import SiteLimit
from apps.updates.models import Rollout
from apps.updates.selectors.eligibility import explain_device
from apps.updates.services.rollouts import start_rollout
from apps.updates.types import Offer
from tests.updates.conftest import Fleet, make_release, make_rollout


@pytest.fixture
def sited(fleet: Fleet) -> Fleet:
    """Four devices in Oslo, two in Rome, two that do not say where they are."""
    rows = Device.objects.for_org(fleet.organization_id)
    for site, device_ids in (("oslo", fleet.device_ids[:4]), ("rome", fleet.device_ids[4:6])):
        rows.filter(id__in=device_ids).update(inventory={"facts": {"site": site}})
    return fleet


def begun(fleet: Fleet, version: str = "1.0.0", **plan: object) -> Rollout:
    release = make_release(fleet.alice, version, version.encode())
    rollout = make_rollout(fleet.alice, release, plan=Plan(**plan))
    return start_rollout(fleet.alice, rollout.id)


def sites(fleet: Fleet, offers: list[Offer]) -> Counter[str]:
    """How many devices of each site got an offer."""
    places = ["oslo"] * 4 + ["rome"] * 2 + [""] * 2
    of = dict(zip(fleet.device_ids, places, strict=True))
    return Counter(of[offer.device_id] for offer in offers)


def told(fleet: Fleet, device_id: UUID, rollout: Rollout, code: str) -> tuple[bool, object]:
    """What a reason says of a device, and the site that it names."""
    reasons = explain_device(fleet.alice, device_id, rollout.id).reasons
    reason = next(each for each in reasons if each.code == code)
    return reason.holds, reason.evidence.get("site")


def test_each_site_has_so_many_at_work_and_those_without_one_are_a_site(sited: Fleet) -> None:
    begun(sited, site_limit=SiteLimit(in_flight=1))
    offers = sited.claim()
    assert sites(sited, offers) == {"oslo": 1, "rome": 1, "": 1}
    assert sited.claim() == []
    sited.finish([offer for offer in offers if sites(sited, [offer]) == {"oslo": 1}])
    assert sites(sited, sited.claim()) == {"oslo": 1}


def test_phases_share_what_their_site_bears(sited: Fleet) -> None:
    limit = SiteLimit(in_flight=2)
    begun(sited, phases=(PhasePlan(100, maximum_in_flight=3),), site_limit=limit)
    assert max(sites(sited, sited.claim()).values()) <= 2
    assert sited.claim() == []


def test_a_full_site_leaves_its_devices_to_another_rollout(sited: Fleet) -> None:
    first = begun(sited, site_limit=SiteLimit(in_flight=1))
    second = begun(sited, "2.0.0")
    found = sited.claim()
    assert Counter(offer.rollout_id for offer in found) == {first.id: 3}
    rest = sited.claim()
    assert Counter(offer.rollout_id for offer in rest) == {second.id: 5}


def test_the_devices_at_work_never_have_more_than_their_site_together(sited: Fleet) -> None:
    begun(sited, site_limit=SiteLimit(in_flight=3, bytes_per_second=100_000))
    offers = sited.claim()
    rates = Counter[str]()
    for offer in offers:
        assert offer.plan is not None
        rate = offer.plan.installation.maximum_bytes_per_second
        assert rate == 33_333
        rates[next(iter(sites(sited, [offer])))] += rate
    assert max(rates.values()) <= 100_000


def test_the_smaller_of_share_and_own_limit_counts() -> None:
    limit = SiteLimit(in_flight=2, bytes_per_second=20_000)
    slow = Plan(installation=Installation(maximum_bytes_per_second=5_000), site_limit=limit)
    fast = Plan(installation=Installation(maximum_bytes_per_second=50_000), site_limit=limit)
    assert slow.told.installation.maximum_bytes_per_second == 5_000
    assert fast.told.installation.maximum_bytes_per_second == 10_000
    assert Plan().told == Plan()


@pytest.mark.parametrize(("cap", "code"), [(0, IN_FLIGHT_LIMIT), (9000, BANDWIDTH)])
def test_those_who_wait_are_told_for_which_site(sited: Fleet, cap: int, code: str) -> None:
    rollout = begun(sited, site_limit=SiteLimit(in_flight=1, bytes_per_second=cap))
    at_work = {offer.device_id for offer in sited.claim()}
    waiting = [id_ for id_ in sited.device_ids[:4] if id_ not in at_work]
    assert {told(sited, id_, rollout, code) for id_ in waiting} == {(False, "oslo")}


def test_another_label_can_tell_sites_apart(sited: Fleet) -> None:
    Device.objects.for_org(sited.organization_id).update(inventory={"facts": {"hall": 7}})
    begun(sited, site_limit=SiteLimit("labels.hall", 2))
    assert len(sited.claim()) == 2


@pytest.mark.parametrize(
    ("limit", "field"),
    [
        (SiteLimit("site"), "site_limit.by"),
        (SiteLimit("labels."), "site_limit.by"),
        (SiteLimit(in_flight=0), "site_limit.in_flight"),
        (SiteLimit(in_flight=100, bytes_per_second=5_000), "site_limit.bytes_per_second"),
    ],
)
def test_limits_that_mean_nothing_are_refused(fleet: Fleet, limit: SiteLimit, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        begun(fleet, site_limit=limit)
    assert caught.value.fields[0].field == field
