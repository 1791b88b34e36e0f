"""What buttons of a rollout would do, counted; and closing a dynamic rollout."""

import pytest

from apps.organizations.models import Membership
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.models import Rollout
from apps.updates.services.rollouts import cancel_rollout, start_rollout
from tests.bars.audited import browser
from tests.updates.conftest import Fleet, fleet, make_release, make_rollout, storage

__all__ = ["fleet", "storage"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def half_way(fleet: Fleet) -> Rollout:
    """Of eight devices two have it, one installs, two download, three have not begun."""
    rollout = fleet.start()
    offers = fleet.claim(*fleet.device_ids[:5])
    fleet.finish(offers[:2])
    fleet.report(offers[2], 1, "installing")
    fleet.report(offers[3], 1, "downloading")
    return rollout


def lines_of(member: Membership, rollout: Rollout, what: str) -> str:
    answer = browser(member).get(f"/rollouts/{rollout.id}/consequences/{what}")
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize(
    ("what", "sentences"),
    [
        (
            "cancel",
            (
                "3 devices that have not begun never start.",
                "2 devices that download stop, and keep what they run now.",
                "1 device that installs finishes",
                "2 devices that have the release keep it.",
            ),
        ),
        ("halt", ("3 devices that have not begun never start.", "3 devices that are at it finish")),
        ("pause", ("3 devices that have not begun are not offered", "3 devices that are at it")),
        ("resume", ("3 devices that wait are offered the release again",)),
    ],
)
def test_a_dialog_counts_what_would_happen(
    alice_member: Membership, half_way: Rollout, what: str, sentences: tuple[str, ...]
) -> None:
    text = lines_of(alice_member, half_way, what)
    for sentence in sentences:
        assert sentence in text


def test_what_a_cancel_announces_is_what_it_does(
    fleet: Fleet, alice_member: Membership, half_way: Rollout
) -> None:
    lines_of(alice_member, half_way, "cancel")
    cancel_rollout(fleet.alice, half_way.id)
    (phase,) = fleet.phases(half_way)
    assert (phase.cancelled, phase.active, phase.succeeded) == (5, 1, 2)


def test_a_button_that_there_is_not_is_not_found(
    alice_member: Membership, half_way: Rollout
) -> None:
    page = browser(alice_member)
    assert page.get(f"/rollouts/{half_way.id}/consequences/explode").status_code == 404


def test_a_dynamic_rollout_is_closed_by_its_button(
    fleet: Fleet, alice_member: Membership, bob_member: Membership
) -> None:
    plan = Plan((PhasePlan(100),), is_dynamic=True)
    rollout = start_rollout(
        fleet.alice, make_rollout(fleet.alice, make_release(fleet.alice), plan=plan).id
    )
    page, address = browser(alice_member), f"/rollouts/{rollout.id}"
    assert 'data-dialog-open="close"' in page.get(address).content.decode()
    assert 'data-dialog-open="close"' not in browser(bob_member).get(address).content.decode()
    assert browser(bob_member).post(f"{address}/close").status_code == 403
    page.post(f"{address}/close")
    text = page.get(address).content.decode()
    assert "No further device joins." in text
    assert 'data-dialog-open="close"' not in text
