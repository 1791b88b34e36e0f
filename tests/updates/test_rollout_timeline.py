"""What happened in a rollout, on its page: decisions, people, refusals, page after page."""

import re

from django.test import Client

from apps.organizations.models import Membership
from apps.updates.models import Rollout
from apps.updates.services.rollouts import pause_rollout, resume_rollout
from tests.bars.audited import browser
from tests.updates.conftest import Fleet


def log_of(page: Client, rollout: Rollout, query: str = "") -> str:
    answer = page.get(f"/rollouts/{rollout.id}/log{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_what_a_person_did_is_one_line_with_its_door(
    fleet: Fleet, alice_member: Membership
) -> None:
    rollout = fleet.start()
    page = browser(alice_member)
    page.post(f"/rollouts/{rollout.id}/pause")
    text = log_of(page, rollout)
    assert text.count("paused") == 1
    assert "alice@acme.test · ui" in text


def test_doors_are_for_those_who_read_the_audit_trail(
    fleet: Fleet, alice_member: Membership, bob_member: Membership
) -> None:
    rollout = fleet.start()
    browser(alice_member).post(f"/rollouts/{rollout.id}/pause")
    text = log_of(browser(bob_member), rollout)
    assert "was paused" in text
    assert "· ui" not in text


def test_people_are_told_from_the_platform(fleet: Fleet, alice_member: Membership) -> None:
    rollout, page = fleet.start(), browser(alice_member)
    fleet.finish(fleet.claim(), "failed")
    fleet.advance(rollout)
    assert "failed its gate" in log_of(page, rollout)
    text = log_of(page, rollout, "?log=people")
    assert "failed its gate" not in text
    assert "was started" in text


def test_progress_is_shown_only_on_demand(fleet: Fleet, alice_member: Membership) -> None:
    rollout, page = fleet.start(), browser(alice_member)
    fleet.finish(fleet.claim()[:1])
    fleet.advance(rollout)
    assert "1 succeeded" not in log_of(page, rollout)
    assert "1 succeeded" in log_of(page, rollout, "?log=all")


def test_older_pages_lead_to_the_beginning_and_repeat_nothing(
    fleet: Fleet, alice_member: Membership
) -> None:
    rollout, page = fleet.start(), browser(alice_member)
    for _ in range(25):
        pause_rollout(fleet.alice, rollout.id)
        resume_rollout(fleet.alice, rollout.id)
    query, seen = "?log=all", []
    while query:
        text = log_of(page, rollout, query)
        seen += re.findall(r'data-key="event-(\d+)"', text)
        older = re.search(r'href="[^"]*(\?[^"]*log_before[^"]*)#log" rel="next"', text)
        query = older.group(1).replace("&amp;", "&") if older else ""
    assert seen == [str(number) for number in range(53, 0, -1)]


def test_a_moment_that_is_none_begins_at_the_newest(fleet: Fleet, alice_member: Membership) -> None:
    rollout, page = fleet.start(), browser(alice_member)
    for text in ("x", "2026-99-99T00:00", "2026-01-01", "\0"):
        assert "was started" in log_of(page, rollout, f"?log_before={text}")
