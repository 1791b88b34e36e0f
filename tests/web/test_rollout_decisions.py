"""Buttons of a rollout's page: shown where they may be used, and what they come to."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.core.actors import Actor
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.updates.domain.gates import GateKind, GatePolicy
from apps.updates.domain.plan import PhasePlan, Plan, Rate
from apps.updates.models import Rollout
from apps.updates.services.planning import submit_rollout
from apps.updates.services.rollouts import halt_rollout, start_rollout
from apps.updates.types import Target
from tests.bars.audited import browser
from tests.factories import Cast
from tests.updates.conftest import Fleet, make_release, make_rollout, storage

__all__ = ["storage"]
pytestmark = pytest.mark.django_db
WALD = GatePolicy(kind=GateKind.SEQUENTIAL, minimum_soak_seconds=3600)
PHASES = (PhasePlan(50, gate=WALD, rate=Rate(10)), PhasePlan(100, needs_approval=True))


@pytest.fixture
def fleet(acme: Cast, alice: Actor) -> Fleet:
    return Fleet(acme.id, [device.id for device in acme.devices], alice)


@pytest.fixture
def page(alice_member: Membership) -> Client:
    return browser(alice_member)


@pytest.fixture
def planned(acme: Cast, alice: Actor) -> Callable[..., Rollout]:
    def make(version: str = "1.0.0", **values: Any) -> Rollout:
        with tenant(acme.id):
            release = make_release(alice, version, content=version.encode())
            return make_rollout(alice, release, plan=Plan(PHASES), **values)

    return make


def text_of(page: Client, rollout: Rollout) -> str:
    answer = page.get(f"/rollouts/{rollout.id}")
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def state_of(rollout: Rollout) -> str:
    with tenant(rollout.organization_id):
        found: Rollout = Rollout.objects.for_org(rollout.organization_id).get(id=rollout.id)
        return found.state


def running(fleet: Fleet, rollout: Rollout) -> Rollout:
    with tenant(rollout.organization_id):
        return start_rollout(fleet.alice, rollout.id)


def test_a_plan_is_shown_in_words(page: Client, planned: Callable[..., Rollout]) -> None:
    rollout = planned(target=Target(filter="tags:lab OR name:acme"), excluded=Target(tags=("x",)))
    text = text_of(page, rollout)
    for words in (
        "Promotes once a failure rate of 5 % is ruled out",
        "It stays open for 1 hour at least.",
        "10 devices start per minute.",
        "opens only when somebody says so",
        "Promotes when every device has finished; halts at the first failure.",
        "devices that match tags:lab OR name:acme",
        "tags x",
    ):
        assert words in text, words
    assert 'data-dialog-open="halt"' not in text
    assert 'data-dialog-open="roll-back"' not in text


def test_a_running_phase_shows_its_evidence_and_is_passed_by_hand(
    page: Client, fleet: Fleet, planned: Callable[..., Rollout]
) -> None:
    rollout = running(fleet, planned())
    text = text_of(page, rollout)
    assert "more clean devices promote" in text
    assert "the soak time is over" in text
    assert 'data-dialog-open="pass-0"' in text
    address = f"/rollouts/{rollout.id}/advance"
    refused = page.post(address, {"index": "0", "reason": ""}, follow=True).content.decode()
    assert "Say why" in refused
    page.post(address, {"index": "0", "reason": "looks good"})
    waiting = text_of(page, rollout)
    assert "looks good" in waiting
    assert "waits for somebody to open it" in waiting
    assert 'data-dialog-open="open-1"' in waiting
    page.post(address, {"index": "1", "reason": "go on"})
    assert "somebody has let it open" in text_of(page, rollout)


@pytest.mark.parametrize("index", ["", "x", "-1", "٣", "99", "1" * 5000])
def test_a_phase_that_is_none_is_refused_in_words(
    page: Client, fleet: Fleet, planned: Callable[..., Rollout], index: str
) -> None:
    rollout = running(fleet, planned())
    data = {"index": index, "reason": "because"}
    answer = page.post(f"/rollouts/{rollout.id}/advance", data, follow=True)
    assert answer.status_code == 200
    assert 'data-tone="bad"' in answer.content.decode()


def test_a_rollout_is_halted_with_a_reason(
    page: Client, fleet: Fleet, planned: Callable[..., Rollout]
) -> None:
    rollout = running(fleet, planned())
    page.post(f"/rollouts/{rollout.id}/halt", {"reason": "wrong file"})
    text = text_of(page, rollout)
    assert state_of(rollout) == "halted"
    assert "wrong file" in text
    assert 'data-dialog-open="roll-back"' in text
    assert 'data-dialog-open="halt"' not in text


def test_a_plan_is_sent_back_with_a_reason(
    page: Client, erin_member: Membership, fleet: Fleet, planned: Callable[..., Rollout]
) -> None:
    rollout = planned(requires_approval=True)
    with tenant(rollout.organization_id):
        submit_rollout(fleet.alice, rollout.id)
    assert 'data-dialog-open="reject"' in text_of(page, rollout)
    page.post(f"/rollouts/{rollout.id}/reject", {"reason": "<b>too fast</b>"})
    text = text_of(page, rollout)
    assert state_of(rollout) == "draft"
    assert "&lt;b&gt;too fast&lt;/b&gt;" in text


def test_a_roll_back_shows_what_comes_and_both_rollouts_lead_to_each_other(
    page: Client, acme: Cast, fleet: Fleet
) -> None:
    with tenant(acme.id):
        fleet.finish(fleet.claim(*_started(fleet, "1.0.0")))
        device_ids = _started(fleet, "2.0.0")
        fleet.finish(fleet.claim(*device_ids))
        second = Rollout.objects.for_org(acme.id).latest("id")
        halt_rollout(fleet.alice, second.id, reason="bad")
    address = f"/rollouts/{second.id}/roll-back"
    preview = " ".join(page.get(address).content.decode().split())
    assert f"<b>{len(device_ids)}</b> devices go back" in preview
    assert "hello 1.0.0" in preview
    made = page.post(address)["Location"]
    assert made != f"/rollouts/{second.id}"
    back = page.get(made).content.decode()
    assert f'href="/rollouts/{second.id}"' in back
    assert 'data-dialog-open="clone"' not in back
    assert f'href="{made}"' in text_of(page, second)
    assert state_of(second) == "rolling_back"


def _started(fleet: Fleet, version: str) -> list[Any]:
    rollout = fleet.start(version=version)
    assert rollout.state == "running"
    return fleet.device_ids


def test_a_roll_back_of_nothing_says_so(
    page: Client, fleet: Fleet, planned: Callable[..., Rollout]
) -> None:
    rollout = running(fleet, planned())
    with tenant(rollout.organization_id):
        halt_rollout(fleet.alice, rollout.id, reason="bad")
    address = f"/rollouts/{rollout.id}/roll-back"
    assert "No device of this rollout" in page.get(address).content.decode()
    assert "No device of this rollout" in page.post(address, follow=True).content.decode()
    assert state_of(rollout) == "halted"


def test_a_rollout_is_cloned_and_its_failed_devices_are_tried_again(
    page: Client, acme: Cast, fleet: Fleet
) -> None:
    with tenant(acme.id):
        rollout = fleet.start()
        fleet.finish(fleet.claim(), "failed")
    clone = page.get(page.post(f"/rollouts/{rollout.id}/clone")["Location"]).content.decode()
    assert "Say hello (copy)" in clone
    assert 'data-dialog-open="retry"' in text_of(page, rollout)
    again = page.get(page.post(f"/rollouts/{rollout.id}/retry")["Location"]).content.decode()
    assert "where an earlier rollout failed" in again


def test_who_may_only_look_finds_no_button_and_is_refused(
    bob_member: Membership, fleet: Fleet, planned: Callable[..., Rollout]
) -> None:
    rollout = running(fleet, planned())
    viewer = browser(bob_member)
    text = text_of(viewer, rollout)
    for word in ("halt", "roll-back", "pass-0", "open-1", "retry", "clone", "reject"):
        assert f'"{word}"' not in text, word
    for verb in ("halt", "roll-back", "advance", "retry", "clone", "reject"):
        answer = viewer.post(f"/rollouts/{rollout.id}/{verb}", {"reason": "x", "index": "0"})
        assert answer.status_code == 403, verb
    assert viewer.get(f"/rollouts/{rollout.id}/roll-back").status_code == 403
    assert state_of(rollout) == "running"


def test_another_organization_finds_nothing(
    charlie_member: Membership, fleet: Fleet, planned: Callable[..., Rollout]
) -> None:
    rollout = running(fleet, planned())
    stranger = browser(charlie_member)
    for verb in ("halt", "roll-back", "advance", "retry", "clone", "reject"):
        answer = stranger.post(f"/rollouts/{rollout.id}/{verb}", {"reason": "x", "index": "0"})
        assert answer.status_code == 404, verb
    assert stranger.get(f"/rollouts/{rollout.id}/roll-back").status_code == 404
    assert state_of(rollout) == "running"
