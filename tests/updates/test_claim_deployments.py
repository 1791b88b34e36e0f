"""Handing deployments to devices."""

from datetime import timedelta
from uuid import uuid4

import pytest

from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import PermissionDenied
from apps.devices.domain.states import Lifecycle
from apps.devices.models import Device
from apps.events.models import OutboxEvent
from apps.updates.services.offers import (
    claim_deployments,
    offer_for_device,
    offers_for_devices,
)
from apps.updates.services.rollouts import cancel_rollout, start_rollout
from apps.updates.types import NewComponent, Target
from tests import factories
from tests.factories import Cast
from tests.updates.conftest import (
    Fleet,
    counts_of_phases,
    counts_of_rows,
    make_release,
    make_rollout,
)


def test_an_offer_has_what_the_device_needs(fleet: Fleet, alice: Actor) -> None:
    rollout = fleet.start()
    before = clock.now()
    offers = fleet.claim()
    assert {o.device_id for o in offers} == set(fleet.device_ids)
    offer = offers[0]
    part = offer.components[0]
    assert (offer.release_name, offer.release_version) == ("hello", "1.0.0")
    assert (part.name, part.version, part.kind) == ("hello", "1.0.0", "script")
    assert f"/agent/v1/artifacts/{offer.deployment_id}/{part.sha256}?" in part.url
    assert offer.lease_seconds == rollout.deployment_timeout_seconds == 3600
    row = fleet.deployment(offer)
    assert (row.state, row.offers, row.deadline_at) == ("offered", 1, offer.deadline)
    assert timedelta(seconds=3590) < offer.deadline - before < timedelta(seconds=3610)
    assert counts_of_phases(rollout) == counts_of_rows(rollout)
    event = OutboxEvent.objects.for_org(fleet.organization_id).get(
        type="updates.deployment.offered.v1"
    )
    assert event.payload == {"rollout_id": str(rollout.id), "count": 8}


def test_a_deployment_is_handed_out_once_and_offered_again_with_the_same_deadline(
    fleet: Fleet,
) -> None:
    fleet.start()
    first = {o.device_id: o for o in fleet.claim()}
    assert fleet.claim() == []
    again = offer_for_device(fleet.system, fleet.device_ids[0])
    assert again is not None
    assert again.deployment_id == first[fleet.device_ids[0]].deployment_id
    assert again.deadline == first[fleet.device_ids[0]].deadline
    assert len(offers_for_devices(fleet.system, fleet.device_ids)) == len(fleet.device_ids)


def test_only_devices_of_open_phases_get_work(fleet: Fleet) -> None:
    fleet.start(percents=(25, 100))
    assert len(fleet.claim()) == 2
    assert fleet.claim() == []


def test_the_limit_holds(fleet: Fleet) -> None:
    fleet.start()
    assert len(claim_deployments(fleet.system, fleet.device_ids, limit=3)) == 3
    assert len(fleet.claim()) == 5


@pytest.mark.parametrize(
    "lifecycle", [Lifecycle.PENDING, Lifecycle.QUARANTINED, Lifecycle.DECOMMISSIONED]
)
def test_devices_that_are_not_active_get_nothing(fleet: Fleet, lifecycle: Lifecycle) -> None:
    fleet.start()
    row = Device.objects.for_org(fleet.organization_id).filter(id=fleet.device_ids[0])
    row.update(lifecycle=lifecycle.value)
    assert fleet.claim(fleet.device_ids[0]) == []


def test_a_device_works_on_one_deployment_at_a_time_the_oldest_rollout_first(
    fleet: Fleet,
) -> None:
    first, second = fleet.start(version="1"), fleet.start(version="2")
    device = fleet.device_ids[0]
    offer = fleet.claim(device)[0]
    assert offer.rollout_id == first.id
    assert fleet.claim(device) == []
    fleet.report(offer, 1, "succeeded")
    assert fleet.claim(device)[0].rollout_id == second.id


def test_a_halted_rollout_does_not_hold_up_the_next_one(fleet: Fleet) -> None:
    first, second = fleet.start(version="1", percents=(25, 100)), fleet.start(version="2")
    offers = fleet.claim()
    broken = [o for o in offers if o.rollout_id == first.id]
    fleet.finish(broken, "failed")
    fleet.advance(first)
    assert {o.rollout_id for o in fleet.claim()} == {second.id}


def test_drafts_and_cancelled_rollouts_hand_out_nothing(fleet: Fleet, alice: Actor) -> None:
    make_rollout(alice, make_release(alice, "9"))
    cancel_rollout(alice, fleet.start().id)
    assert fleet.claim() == []


def test_unknown_and_foreign_devices_get_nothing(globex: Cast, fleet: Fleet) -> None:
    fleet.start()
    assert fleet.claim(uuid4(), globex.device.id) == []
    assert claim_deployments(fleet.system, []) == []
    assert offer_for_device(fleet.system, globex.device.id) is None


def test_components_are_offered_in_their_order(fleet: Fleet, alice: Actor) -> None:
    import io

    from apps.updates.services.artifacts import store_artifact
    from apps.updates.services.releases import create_release

    file = store_artifact(alice, name="f", file=io.BytesIO(b"f"))
    hooks = {"verify": {"command": ["true"], "timeout_seconds": 5}}
    parts = [
        NewComponent("b", "binary", file.id, target="/opt/b", file_mode=0o755),
        NewComponent("a", "config", file.id, target="/etc/a", hooks=hooks),
    ]
    release = create_release(alice, name="bundle", version="1", components=parts)
    start_rollout(alice, make_rollout(alice, release).id)
    first, second = fleet.claim()[0].components
    assert (first.name, first.target, first.file_mode) == ("b", "/opt/b", 0o755)
    assert (second.name, dict(second.hooks)) == ("a", hooks)


def test_a_person_cannot_claim(fleet: Fleet, alice: Actor) -> None:
    with pytest.raises(PermissionDenied):
        claim_deployments(alice, fleet.device_ids)
    with pytest.raises(PermissionDenied):
        offers_for_devices(alice, fleet.device_ids)


def test_many_devices_cost_as_many_queries_as_few(
    fleet: Fleet, acme: Cast, django_assert_max_num_queries: object
) -> None:
    more = [factories.device(acme.id).id for _ in range(30)]
    fleet.start()
    with django_assert_max_num_queries(13):
        assert len(fleet.claim(*fleet.device_ids, *more)) == 38


def test_a_target_of_one_device_offers_to_that_device_only(fleet: Fleet, alice: Actor) -> None:
    target = Target(device_ids=(fleet.device_ids[3],))
    start_rollout(alice, make_rollout(alice, make_release(alice), target=target).id)
    assert [o.device_id for o in fleet.claim()] == [fleet.device_ids[3]]
