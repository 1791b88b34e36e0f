"""The rollout's page: what failed devices have in common, and going on without them."""

import pytest
from django.test import Client

from apps.core.actors import Actor
from apps.core.tenancy import tenant
from apps.devices.models import Device
from apps.organizations.models import Membership
from apps.updates.models import Deployment, Rollout
from apps.updates.selectors.rollouts import get_rollout
from tests import factories
from tests.bars.audited import browser
from tests.factories import Cast
from tests.updates.conftest import Fleet


@pytest.fixture
def page(alice_member: Membership) -> Client:
    """The owner's browser."""
    return browser(alice_member)


@pytest.fixture
def halted(acme: Cast, alice: Actor) -> Rollout:
    """Of the first ten of 20 devices the old ones have failed, and nobody else."""
    with tenant(acme.id):
        more = [factories.device(acme.id) for _ in range(18)]
        fleet = Fleet(acme.id, [d.id for d in (*acme.devices, *more)], alice)
        rollout = fleet.start(percents=(50, 100))
        rows = Deployment.objects.for_org(acme.id).filter(rollout_id=rollout.id)
        for phase in (0, 1):
            found = rows.filter(phase_index=phase).order_by("position")
            old = list(found.values_list("device_id", flat=True)[:5])
            Device.objects.for_org(acme.id).filter(id__in=old).update(model="pi<4>")
        offers = fleet.claim()
        old = Device.objects.for_org(acme.id).filter(model="pi<4>").values_list("id", flat=True)
        fleet.finish([o for o in offers if o.device_id not in set(old)])
        fleet.finish([o for o in offers if o.device_id in set(old)], "failed")
        return fleet.advance(rollout)


def test_the_page_names_the_trait_and_says_what_leaving_it_out_means(
    page: Client, halted: Rollout
) -> None:
    whole = page.get(f"/rollouts/{halted.id}").content.decode()
    assert f'hx-get="/rollouts/{halted.id}/suspects"' in whole
    part = page.get(f"/rollouts/{halted.id}/suspects").content.decode()
    assert "Devices with model pi&lt;4&gt; fail 2 times as often as all (5 of 5;" in part
    assert "5 devices that wait are left out." in part
    assert "The rollout runs again within seconds" in part


def test_the_button_goes_on_without_these_devices_once_there_is_a_reason(
    page: Client, halted: Rollout, alice: Actor
) -> None:
    said = {"attribute": "model", "value": "pi<4>", "reason": ""}
    page.post(f"/rollouts/{halted.id}/exclude", said)
    with tenant(alice.organization_id):
        assert get_rollout(alice, halted.id).state == "halted"
    page.post(f"/rollouts/{halted.id}/exclude", {**said, "reason": "Too small."})
    with tenant(alice.organization_id):
        assert get_rollout(alice, halted.id).state == "running"
    text = page.get(f"/rollouts/{halted.id}").content.decode()
    assert "It goes on without devices with model pi&lt;4&gt;, 5 of them waiting" in text


def test_viewers_see_who_fails_and_get_no_button(bob_member: Membership, halted: Rollout) -> None:
    viewer = browser(bob_member)
    part = viewer.get(f"/rollouts/{halted.id}/suspects").content.decode()
    assert "Devices with model" in part
    assert "data-dialog-open" not in part
    said = {"attribute": "model", "value": "pi<4>", "reason": "Too small."}
    assert viewer.post(f"/rollouts/{halted.id}/exclude", said).status_code == 403
