"""Rollouts leave pinned devices alone, and devices that failed again and again."""

from datetime import timedelta

import pytest

from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.devices.errors import DeviceIsDecommissioned
from apps.devices.services.devices import decommission_device, release_device
from apps.events.services.relay import relay_outbox
from apps.organizations.services.settings import update_organization_settings
from apps.updates.domain.installation import Installation
from apps.updates.domain.plan import Plan
from apps.updates.models import Deployment, DeviceHold, Rollout
from apps.updates.selectors.eligibility import explain_device
from apps.updates.selectors.rollouts import reread_rollout
from apps.updates.services.holds import pin_device, unpin_device
from apps.updates.services.rollbacks import roll_back_rollout
from apps.updates.services.rollouts import halt_rollout, start_rollout
from apps.updates.types import Offer
from tests.factories import Cast
from tests.updates.conftest import (
    Fleet,
    counts_of_phases,
    counts_of_rows,
    make_release,
    make_rollout,
)


def holds(fleet: Fleet) -> list[tuple[object, str]]:
    rows = DeviceHold.objects.for_org(fleet.organization_id).filter(ended_at=None)
    return list(rows.values_list("device_id", "kind"))


def fail(fleet: Fleet, version: str) -> Rollout:
    """The first device fails in one more rollout, the others succeed."""
    started = fleet.start(version=version)
    offers = fleet.claim()
    fleet.finish([o for o in offers if o.device_id == fleet.device_ids[0]], "failed")
    fleet.finish([o for o in offers if o.device_id != fleet.device_ids[0]])
    while relay_outbox(fleet.system):
        pass
    return started


def claimed_by(offers: list[Offer]) -> set[object]:
    return {offer.device_id for offer in offers}


def test_what_waits_for_a_device_is_skipped_when_it_is_pinned(fleet: Fleet) -> None:
    rollout, device_id = fleet.start(), fleet.device_ids[0]
    pin_device(fleet.alice, device_id, reason="on show at the fair")
    row = Deployment.objects.for_org(fleet.organization_id).get(device_id=device_id)
    assert (row.state, row.reason_code) == ("skipped", "pinned")
    assert device_id not in claimed_by(fleet.claim())
    assert counts_of_phases(rollout) == counts_of_rows(rollout)


def test_a_device_that_is_at_work_goes_on_when_it_is_pinned(
    fleet: Fleet,
) -> None:
    fleet.start()
    offers = fleet.claim()
    pin_device(fleet.alice, offers[0].device_id, reason="as it is")
    assert fleet.deployment(offers[0]).state == "offered"
    fleet.finish(offers)
    assert fleet.deployment(offers[0]).state == "succeeded"


def test_rollouts_that_begin_later_leave_a_pinned_device_out(fleet: Fleet) -> None:
    device_id = fleet.device_ids[0]
    pin_device(fleet.alice, device_id, reason="as it is")
    rollout = fleet.start()
    found = explain_device(fleet.alice, device_id, rollout.id)
    assert "pinned" in [reason.code for reason in found.reasons if not reason.holds]
    assert claimed_by(fleet.claim()) == set(fleet.device_ids[1:])


def test_a_device_that_was_unpinned_is_reached_again(fleet: Fleet) -> None:
    pin_device(fleet.alice, fleet.device_ids[0], reason="as it is")
    unpin_device(fleet.alice, fleet.device_ids[0])
    unpin_device(fleet.alice, fleet.device_ids[0])
    fleet.start()
    assert claimed_by(fleet.claim()) == set(fleet.device_ids)


def test_a_pin_is_replaced_by_another_one_and_repeated_in_silence(fleet: Fleet) -> None:
    first = pin_device(fleet.alice, fleet.device_ids[0], reason="as it is")
    assert pin_device(fleet.alice, fleet.device_ids[0], reason="as it is").id == first.id
    until = clock.now() + timedelta(hours=1)
    second = pin_device(fleet.alice, fleet.device_ids[0], reason="until later", until=until)
    assert second.id != first.id
    assert holds(fleet) == [(fleet.device_ids[0], "pinned")]
    actions = AuditEntry.objects.for_org(fleet.organization_id).filter(action="updates.pin_device")
    assert actions.count() == 2


def test_a_pin_needs_a_reason_a_future_and_a_device(fleet: Fleet) -> None:
    device_id = fleet.device_ids[0]
    with pytest.raises(InvalidRequest):
        pin_device(fleet.alice, device_id, reason=" ")
    with pytest.raises(InvalidRequest):
        pin_device(fleet.alice, device_id, reason="late", until=clock.now())
    decommission_device(fleet.alice, device_id, reason="sold")
    with pytest.raises(DeviceIsDecommissioned):
        pin_device(fleet.alice, device_id, reason="too late")


def test_only_whoever_may_pins_and_unpins(fleet: Fleet, bob: Actor, globex: Cast) -> None:
    with pytest.raises(PermissionDenied):
        pin_device(bob, fleet.device_ids[0], reason="mine")
    with pytest.raises(PermissionDenied):
        unpin_device(bob, fleet.device_ids[0])
    with pytest.raises(NotFound):
        pin_device(fleet.alice, globex.device.id, reason="not ours")


def test_a_device_that_keeps_failing_goes_into_quarantine(fleet: Fleet) -> None:
    for version in ("1.0.0", "1.1.0"):
        fail(fleet, version)
        assert holds(fleet) == []
    fail(fleet, "1.2.0")
    assert holds(fleet) == [(fleet.device_ids[0], "quarantined")]
    fleet.start(version="1.3.0")
    assert claimed_by(fleet.claim()) == set(fleet.device_ids[1:])


def test_a_success_in_between_is_forgiven(fleet: Fleet) -> None:
    fail(fleet, "1.0.0")
    fail(fleet, "1.1.0")
    fleet.start(version="1.2.0")
    fleet.finish(fleet.claim())
    fail(fleet, "1.3.0")
    assert holds(fleet) == []


def test_after_a_release_failures_count_anew(fleet: Fleet) -> None:
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        fail(fleet, version)
    release_device(fleet.alice, fleet.device_ids[0])
    assert holds(fleet) == []
    fail(fleet, "1.3.0")
    assert holds(fleet) == []
    fleet.start(version="1.4.0")
    assert fleet.device_ids[0] in claimed_by(fleet.claim())


@pytest.mark.parametrize(("limit", "is_held"), [(0, False), (1, True)])
def test_the_organization_says_after_how_many_failures(
    fleet: Fleet, limit: int, is_held: bool
) -> None:
    update_organization_settings(fleet.alice, {"updates.quarantine_after_failures": limit})
    fail(fleet, "1.0.0")
    assert bool(holds(fleet)) is is_held


def test_a_roll_back_reaches_quarantined_devices_and_no_pinned_ones(fleet: Fleet) -> None:
    update_organization_settings(fleet.alice, {"updates.quarantine_after_failures": 1})
    fleet.start()
    fleet.finish(fleet.claim())
    bad = fail(fleet, "2.0.0")
    assert holds(fleet) == [(fleet.device_ids[0], "quarantined")]
    pin_device(fleet.alice, fleet.device_ids[1], reason="as it is")
    fleet.advance(bad)
    if reread_rollout(fleet.alice, bad.id).state == "running":
        halt_rollout(fleet.alice, bad.id, reason="bad")
    back = roll_back_rollout(fleet.alice, bad.id)
    rows = Deployment.objects.for_org(fleet.organization_id).filter(rollout_id=back.id)
    reached = set(rows.values_list("device_id", flat=True))
    assert reached == set(fleet.device_ids) - {fleet.device_ids[1]}
    first = rows.get(device_id=fleet.device_ids[0])
    words = {r.code: r for r in explain_device(fleet.alice, first.device_id, back.id).reasons}
    assert words["quarantined"].holds
    assert words["quarantined"].evidence["reason"]


def test_a_failed_attempt_of_a_held_device_is_not_repeated(fleet: Fleet) -> None:
    plan = Plan(installation=Installation(maximum_attempts=3, backoff_seconds=0))
    made = make_rollout(fleet.alice, make_release(fleet.alice), plan=plan)
    start_rollout(fleet.alice, made.id)
    offers = fleet.claim()
    pin_device(fleet.alice, offers[0].device_id, reason="as it is")
    fleet.finish(offers, "failed")
    assert claimed_by(fleet.claim()) == set(fleet.device_ids) - {offers[0].device_id}
