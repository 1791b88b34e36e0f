"""What the worker does by itself: sweeps, wake-ups, and reactions to devices."""

from datetime import timedelta

import pytest

from apps.core import clock
from apps.core.actors import Actor
from apps.core.tasks import sweeps
from apps.core.tenancy import tenant
from apps.devices.services.devices import decommission_device
from apps.events.models import OutboxEvent
from apps.events.services.relay import relay_outbox
from apps.updates import tasks
from apps.updates.models import Deployment
from apps.updates.selectors.rollouts import get_rollout, list_live_rollout_ids
from apps.updates.services.rollouts import cancel_rollout, pause_rollout
from tests.factories import Cast
from tests.updates.conftest import Fleet, make_release, make_rollout


def test_rollouts_are_swept_every_five_seconds() -> None:
    intervals = {sweep.name: sweep.every_seconds for sweep in sweeps()}
    assert intervals["updates.sweep_rollouts"] == 5
    assert intervals["updates.expire_deployments"] == 5


def test_the_sweep_finds_what_no_wake_up_told(fleet: Fleet, alice: Actor) -> None:
    rollout = fleet.start(percents=(25, 100))
    fleet.finish(fleet.claim())
    tasks.sweep(str(fleet.organization_id))
    assert get_rollout(alice, rollout.id).open_phase == 1


def test_the_sweep_gives_up_on_silent_devices_and_halts(fleet: Fleet, alice: Actor) -> None:
    rollout = fleet.start()
    fleet.claim()
    Deployment.objects.for_org(fleet.organization_id).update(
        deadline_at=clock.now() - timedelta(seconds=1)
    )
    tasks.expire(str(fleet.organization_id))
    tasks.sweep(str(fleet.organization_id))
    assert get_rollout(alice, rollout.id).state == "halted"


def test_the_task_advances_the_rollout_that_it_was_woken_for(fleet: Fleet, alice: Actor) -> None:
    rollout = fleet.start()
    fleet.finish(fleet.claim())
    tasks.advance(str(fleet.organization_id), rollout_id=str(rollout.id))
    assert get_rollout(alice, rollout.id).state == "completed"


def test_the_sweep_leaves_alone_what_is_over(fleet: Fleet, alice: Actor) -> None:
    drafted, paused, cancelled, finishing = (fleet.start(version=v) for v in "1234")
    assert list_live_rollout_ids(fleet.system) == sorted(
        [drafted.id, paused.id, cancelled.id, finishing.id]
    )
    pause_rollout(alice, paused.id)
    cancel_rollout(alice, cancelled.id)
    assert cancelled.id not in list_live_rollout_ids(fleet.system)
    offer = fleet.claim(fleet.device_ids[0])[0]
    fleet.report(offer, 1, "installing")
    cancel_rollout(alice, offer.rollout_id)
    assert offer.rollout_id in list_live_rollout_ids(fleet.system)
    fleet.report(offer, 2, "succeeded")
    assert offer.rollout_id not in list_live_rollout_ids(fleet.system)


def test_decommissioning_a_device_takes_it_out_of_its_rollouts(fleet: Fleet, alice: Actor) -> None:
    fleet.start()
    offer = fleet.claim(fleet.device_ids[0])[0]
    decommission_device(alice, offer.device_id, reason="broken")
    relay_outbox(fleet.system)
    assert fleet.deployment(offer).state == "skipped"
    assert not OutboxEvent.objects.for_org(fleet.organization_id).exclude(last_error="").exists()


@pytest.mark.django_db(transaction=True)
def test_nothing_is_published_when_the_transaction_rolls_back(acme: Cast, alice: Actor) -> None:
    class Broken(Exception):
        """Whatever goes wrong after the service."""

    def plan_and_break() -> None:
        with tenant(acme.id):
            make_rollout(alice, make_release(alice))
            raise Broken

    with pytest.raises(Broken):
        plan_and_break()
    with tenant(acme.id):
        assert not OutboxEvent.objects.for_org(acme.id).exists()
