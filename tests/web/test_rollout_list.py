"""The list of rollouts: who waits for somebody comes first, and what devices had before."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.updates.models import Rollout
from apps.updates.services.rollouts import halt_rollout
from tests.bars.audited import browser
from tests.updates.conftest import Fleet, fleet, storage

__all__ = ["fleet", "storage"]
pytestmark = pytest.mark.django_db


def text_of(member: Membership, query: str = "") -> str:
    answer = browser(member).get(f"/rollouts{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_what_waits_for_somebody_comes_before_what_is_newer(
    fleet: Fleet, alice_member: Membership
) -> None:
    halted = fleet.start(version="1.0.0")
    halt_rollout(fleet.alice, halted.id, reason="smoke")
    newer = fleet.start(version="1.1.0")
    text = text_of(alice_member)
    assert "Waits for somebody" in text
    assert text.index(f'id="rollout-{halted.id}"') < text.index(f'id="rollout-{newer.id}"')
    assert text.count(f'id="rollout-{halted.id}"') == 1


def test_a_row_says_what_devices_had_before(fleet: Fleet, alice_member: Membership) -> None:
    fleet.advance(_finished(fleet, "1.0.0"))
    fleet.start(version="1.1.0")
    text = " ".join(text_of(alice_member, "?state=active").split())
    assert 'hello 1.0.0 <span aria-hidden="true">→</span>' in text
    assert "<b>1.1.0</b>" in text
    assert "phase 1 of 1" in text


def _finished(fleet: Fleet, version: str) -> Rollout:
    rollout = fleet.start(version=version)
    fleet.finish(fleet.claim())
    return rollout


def test_many_rollouts_cost_no_more_queries_than_one(
    fleet: Fleet, alice_member: Membership
) -> None:
    page = browser(alice_member)
    fleet.start(version="1.0.0")
    page.get("/rollouts")
    with tenant(fleet.organization_id), CaptureQueriesContext(connection) as one:
        page.get("/rollouts")
    for patch in range(1, 6):
        fleet.start(version=f"1.0.{patch}")
    with tenant(fleet.organization_id), CaptureQueriesContext(connection) as six:
        page.get("/rollouts")
    # Who is offline is counted once for all new ones; of the first one it was known.
    assert len(six) <= len(one) + 1
