"""The step bar of a device: where it is, how far its download is, and where it stopped."""

import pytest

from apps.core import clock
from apps.organizations.models import Membership
from apps.updates.domain.states import DeploymentState
from apps.updates.models import Deployment
from apps.web.device_steps import way_of
from tests.bars.audited import browser
from tests.updates.conftest import Fleet

STEPS = ["queued", "downloading", "verified", "installing", "rebooting", "health check", "done"]


@pytest.mark.parametrize(
    ("values", "place", "label"),
    [
        ({"state": "waiting"}, 0, "now: queued"),
        ({"state": "downloading", "progress_percent": 43}, 1, "now: downloading 43 %"),
        ({"state": "verifying"}, 5, "now: health check"),
        ({"state": "cancelled"}, 0, "stopped at: queued"),
        ({"state": "failed", "started_at": clock.now()}, 1, "stopped at: downloading"),
        ({"state": "failed", "reason_code": "digest_mismatch"}, 1, "stopped at: downloading"),
        ({"state": "timed_out", "downloaded_at": clock.now()}, 3, "stopped at: installing"),
        ({"state": "rolled_back", "reason_code": "verify_failed"}, 5, "stopped at: health check"),
    ],
)
def test_the_bar_says_where_the_device_is(
    values: dict[str, object], place: int, label: str
) -> None:
    way = way_of(Deployment(**values))
    assert way.label == label
    assert [step.state for step in way.steps[:place]] == ["past"] * place
    assert all(step.state == "next" for step in way.steps[place + 1 :])


@pytest.mark.parametrize("state", list(DeploymentState))
def test_every_state_has_a_bar(state: DeploymentState) -> None:
    way = way_of(Deployment(state=state.value))
    assert [step.word for step in way.steps if "%" not in step.word][0] == STEPS[0]
    assert all(step.state == "past" for step in way.steps) == (state == DeploymentState.SUCCEEDED)


def test_both_pages_show_how_far_a_download_is(fleet: Fleet, alice_member: Membership) -> None:
    rollout = fleet.start()
    (offer, *_) = fleet.claim()
    fleet.report(offer, 1, "downloading", progress_percent=43)
    page = browser(alice_member)
    for address in (f"/rollouts/{rollout.id}", f"/devices/{offer.device_id}"):
        assert "now: downloading 43 %" in page.get(address).content.decode()
