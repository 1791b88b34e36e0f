"""Buttons of a rollout without script: each leads to a page that asks what its dialog asks."""

import re

import pytest

from apps.core import clock
from apps.organizations.models import Membership
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.models import Rollout
from apps.updates.services.rollouts import halt_rollout
from tests.bars.audited import browser
from tests.updates.conftest import Fleet, fleet, make_release, make_rollout, storage

__all__ = ["fleet", "storage"]
pytestmark = pytest.mark.django_db


def text_of(member: Membership, address: str) -> str:
    answer = browser(member).get(address, follow=True)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def draft(fleet: Fleet, **values: object) -> Rollout:
    plan = Plan((PhasePlan(50), PhasePlan(100, needs_approval=True)))
    return make_rollout(fleet.alice, make_release(fleet.alice), plan=plan, **values)


def buttons(text: str) -> dict[str, str]:
    """Where each button that opens a dialog leads without script, by the dialog's name."""
    found = re.findall(r'formaction="([^"]+)"[^>]* data-dialog-open="([^"]+)"', text)
    return {name: address for address, name in found}


def test_every_button_leads_to_the_same_question_and_its_answer(
    fleet: Fleet, alice_member: Membership
) -> None:
    rollout = fleet.start()
    fleet.finish(fleet.claim()[:2])
    page = text_of(alice_member, f"/rollouts/{rollout.id}")
    asked = buttons(page)
    assert {"pause", "halt", "cancel", "clone"} <= set(asked)
    assert asked.keys() == set(re.findall(r'data-dialog-open="([^"]+)"', page)) - {"keys"}
    assert '<form id="ask" method="get"' in page
    for name, address in asked.items():
        text = text_of(alice_member, address)
        assert f'action="/rollouts/{rollout.id}/' in text, name
        assert "hx-get" not in text.partition("<h1")[2], name
    halt = text_of(alice_member, asked["halt"])
    assert "6 devices that are at it finish what they do." in halt
    assert 'name="reason"' in halt


def test_a_draft_is_started_without_script(fleet: Fleet, alice_member: Membership) -> None:
    rollout = draft(fleet)
    page = text_of(alice_member, f"/rollouts/{rollout.id}")
    text = text_of(alice_member, buttons(page)["start"])
    assert "The first phase opens at once" in text
    browser(alice_member).post(re.findall(r'action="([^"]+/start)"', text)[0])
    fresh = Rollout.objects.for_org(rollout.organization_id).get(id=rollout.id)
    assert fresh.state == "running"


def test_a_phase_is_passed_and_opened_by_the_number_that_was_asked_about(
    fleet: Fleet, alice_member: Membership
) -> None:
    rollout = draft(fleet)
    browser(alice_member).post(f"/rollouts/{rollout.id}/start")
    text = text_of(alice_member, f"/rollouts/{rollout.id}/ask/pass-0")
    assert "Pass the gate of phase 1 by hand?" in text
    assert 'name="index" value="0"' in text


def test_a_question_that_is_over_leads_back(fleet: Fleet, alice_member: Membership) -> None:
    rollout = fleet.start()
    text = text_of(alice_member, f"/rollouts/{rollout.id}/ask/resume")
    assert "The rollout has moved on: this cannot be done now." in text


def test_who_may_not_do_it_is_not_asked(fleet: Fleet, bob_member: Membership) -> None:
    rollout = fleet.start()
    for what in ("pause", "halt", "clone", "explode"):
        answer = browser(bob_member).get(f"/rollouts/{rollout.id}/ask/{what}")
        assert answer.status_code == 404, what


def test_a_roll_back_of_nothing_has_no_button_that_must_fail(
    fleet: Fleet, alice_member: Membership
) -> None:
    rollout = fleet.start()
    fleet.finish(fleet.claim()[:2])
    halt_rollout(fleet.alice, rollout.id, reason="bad")
    for address in (f"/rollouts/{rollout.id}/ask/roll-back", f"/rollouts/{rollout.id}/roll-back"):
        text = text_of(alice_member, address)
        assert "So there is nothing to roll back." in text
        assert re.search(r'id="roll-back-go"[^>]* disabled', text)
        assert "It starts at once" not in text


def test_devices_with_one_reason_are_tried_again_without_script(
    fleet: Fleet, alice_member: Membership
) -> None:
    rollout = fleet.start()
    fleet.finish(fleet.claim(), "failed")
    page = text_of(alice_member, f"/rollouts/{rollout.id}")
    (reason,) = set(re.findall(r'name="reason" value="([^"]+)" class="btn', page))
    text = text_of(alice_member, f"/rollouts/{rollout.id}/ask/retry?reason={reason}")
    assert "Plan it again for these 8 devices?" in text
    assert f'name="reason" value="{reason}"' in text


def test_a_plan_with_a_start_is_scheduled_from_its_page(
    fleet: Fleet, alice_member: Membership
) -> None:
    rollout = draft(fleet)
    Rollout.objects.for_org(rollout.organization_id).filter(id=rollout.id).update(
        start_at=clock.now()
    )
    assert "submit" in buttons(text_of(alice_member, f"/rollouts/{rollout.id}"))
