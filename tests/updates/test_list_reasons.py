"""Why devices did not get a release: counted by reason, listed, and tried again by reason."""

import pytest
from django.test import Client

from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, NotFound
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.devices.models import DeviceState
from apps.organizations.models import Membership
from apps.updates.errors import NothingToRetry
from apps.updates.models import Deployment, Rollout
from apps.updates.selectors.deployments import list_deployments
from apps.updates.selectors.manifests import export_manifest
from apps.updates.selectors.reasons import list_reasons
from apps.updates.selectors.standing import count_offline
from apps.updates.services.planning import retry_rollout
from apps.updates.services.rollouts import cancel_rollout, start_rollout
from apps.updates.types import Target
from tests.bars.audited import browser
from tests.updates.conftest import Fleet, make_rollout

FULL, BROKEN = "not_enough_space", "verify_failed"
LOG = "checking\nhttp check: connection refused\n\n"


@pytest.fixture
def broken(fleet: Fleet) -> Rollout:
    """Of eight devices two had no room, three went back after their check, one succeeded."""
    rollout = fleet.start()
    offers = sorted(fleet.claim(), key=lambda offer: offer.device_id)
    for offer in offers[:2]:
        fleet.report(offer, 1, "failed", reason_code=FULL, message="2 MB are missing.")
    for offer in offers[2:5]:
        fleet.report(offer, 1, "rolled_back", reason_code=BROKEN, log_tail=LOG)
    fleet.finish(offers[5:6])
    return rollout


def devices_with(fleet: Fleet, rollout: Rollout, reason: str) -> set[object]:
    page = list_deployments(fleet.alice, PageRequest(), rollout_id=rollout.id, reason=reason)
    return {row.device_id for row in page.items}


def test_reasons_are_counted_with_what_a_device_said(fleet: Fleet, broken: Rollout) -> None:
    found = list_reasons(fleet.alice, broken.id)
    assert [(g.reason, g.count, g.failed, g.line) for g in found] == [
        (BROKEN, 3, 3, "http check: connection refused"),
        (FULL, 2, 2, "2 MB are missing."),
    ]
    assert (found[0].sample or Deployment()).device_id in devices_with(fleet, broken, BROKEN)


def test_a_failure_without_a_reason_is_listed_by_its_state(fleet: Fleet) -> None:
    rollout = fleet.start()
    offers = fleet.claim()
    fleet.finish(offers[:2], "failed")
    (found,) = list_reasons(fleet.alice, rollout.id)
    assert (found.reason, found.count) == ("failed", 2)
    assert devices_with(fleet, rollout, "failed") == {o.device_id for o in offers[:2]}


def test_devices_that_never_began_are_listed_and_not_retried(fleet: Fleet) -> None:
    rollout = fleet.start()
    cancel_rollout(fleet.alice, rollout.id)
    (found,) = list_reasons(fleet.alice, rollout.id)
    assert (found.reason, found.count, found.failed) == ("rollout_cancelled", 8, 0)
    with pytest.raises(NothingToRetry):
        retry_rollout(fleet.alice, rollout.id, reason="rollout_cancelled")


def test_devices_of_one_reason_are_tried_again_and_no_others(fleet: Fleet, broken: Rollout) -> None:
    fleet.advance(broken)
    draft = retry_rollout(fleet.alice, broken.id, reason=FULL)
    assert (draft.state, draft.name) == ("draft", "Say hello (not enough space)")
    start_rollout(fleet.alice, draft.id)
    rows = Deployment.objects.for_org(fleet.organization_id).filter(rollout_id=draft.id)
    assert set(rows.values_list("device_id", flat=True)) == devices_with(fleet, broken, FULL)
    assert f"failedBecause: {FULL}" in export_manifest(fleet.alice, draft.id)


def test_a_reason_that_nobody_gave_makes_no_draft(fleet: Fleet, broken: Rollout) -> None:
    before = Rollout.objects.for_org(fleet.organization_id).count()
    for reason in ("hook_failed", "succeeded", "x" * 65, "\0"):
        with pytest.raises((NothingToRetry, InvalidRequest)):
            retry_rollout(fleet.alice, broken.id, reason=reason)
    assert Rollout.objects.for_org(fleet.organization_id).count() == before


def test_a_reason_needs_its_rollout(fleet: Fleet, broken: Rollout) -> None:
    with pytest.raises(InvalidRequest):
        make_rollout(fleet.alice, broken.release, target=Target(failed_because=FULL))


def test_reasons_of_others_are_not_found(charlie: Actor, fleet: Fleet, broken: Rollout) -> None:
    with pytest.raises(NotFound):
        list_reasons(charlie, broken.id)


def test_devices_that_are_away_are_counted_and_listed(fleet: Fleet, broken: Rollout) -> None:
    rows = DeviceState.objects.for_org(fleet.organization_id)
    rows.update(connectivity="offline", offline_at=None)
    assert count_offline(fleet.alice, broken) == 2
    page = list_deployments(fleet.alice, PageRequest(), rollout_id=broken.id, is_offline=True)
    assert {row.state for row in page.items} == {"offered"}
    assert len(page.items) == 2


def test_the_page_groups_devices_and_its_button_makes_a_draft_for_one_group(
    fleet: Fleet, broken: Rollout, alice_member: Membership, bob_member: Membership
) -> None:
    page = browser(alice_member)
    text = page.get(f"/rollouts/{broken.id}").content.decode()
    assert "http check: connection refused" in text
    assert f"?reason={BROKEN}#deployments" in text
    listed = page.get(f"/rollouts/{broken.id}?reason={BROKEN}&fragment=body").content.decode()
    assert listed.count('id="deployment-') == 3
    made = page.post(f"/rollouts/{broken.id}/retry", {"reason": BROKEN})["Location"]
    with tenant(fleet.organization_id):
        draft = Rollout.objects.for_org(fleet.organization_id).latest("id")
    assert made == f"/rollouts/{draft.id}"
    assert draft.target["failed_because"] == BROKEN
    plan = page.get(f"{made}/plan?step=who").content.decode()
    assert f'name="failed_because" value="{BROKEN}"' in plan
    assert "data-dialog-open" not in _why(browser(bob_member), broken)


def test_what_a_device_sends_is_shown_as_text(fleet: Fleet, alice_member: Membership) -> None:
    rollout = fleet.start()
    (offer, *_) = fleet.claim()
    evil = '"><script>alert(1)</script>'
    fleet.report(offer, 1, "failed", reason_code=evil, log_tail=evil)
    text = _why(browser(alice_member), rollout)
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def _why(page: Client, rollout: Rollout) -> str:
    answer = page.get(f"/rollouts/{rollout.id}/why")
    assert answer.status_code == 200
    return answer.content.decode()
