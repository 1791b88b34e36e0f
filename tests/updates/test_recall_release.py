"""Taking releases back, and advising against them."""

from uuid import uuid4

import pytest

from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.events.models import OutboxEvent
from apps.updates.errors import RecalledRelease
from apps.updates.models import Release
from apps.updates.selectors.releases import get_release
from apps.updates.services.recalls import deprecate_release, recall_release
from apps.updates.services.rollouts import start_rollout
from tests.factories import Cast
from tests.updates.conftest import make_rollout

REASON = "It fills the disk."


def audited(actor: Actor, action: str) -> int:
    """How often this was recorded."""
    return AuditEntry.objects.for_org(actor.organization_id).filter(action=action).count()


def test_no_rollout_of_a_recalled_release_is_planned_or_started(
    alice: Actor, release: Release
) -> None:
    draft = make_rollout(alice, release)
    recall_release(alice, release.id, reason=f"  {REASON} ")
    for attempt in (
        lambda: make_rollout(alice, release),
        lambda: start_rollout(alice, draft.id),
    ):
        with pytest.raises(RecalledRelease) as refused:
            attempt()
        assert (refused.value.code, refused.value.data["reason"]) == ("release_recalled", REASON)


def test_a_recall_says_who_and_why_and_is_told_to_those_who_run_rollouts(
    alice: Actor, release: Release
) -> None:
    recall_release(alice, release.id, reason=REASON)
    found = get_release(alice, release.id)
    assert (found.is_recalled, found.recall_reason) == (True, REASON)
    assert found.recalled_by == alice.label
    events = OutboxEvent.objects.for_org(alice.organization_id)
    event = events.get(type="updates.release.recalled.v1")
    assert event.payload["release_id"] == str(release.id)
    assert audited(alice, "updates.recall_release") == 1


def test_recalling_again_changes_nothing(alice: Actor, release: Release) -> None:
    first = recall_release(alice, release.id, reason=REASON)
    again = recall_release(alice, release.id, reason="Something else.")
    assert (again.recall_reason, again.recalled_at) == (REASON, first.recalled_at)
    assert audited(alice, "updates.recall_release") == 1


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 1001, "a\0b"])
def test_a_recall_needs_a_reason(alice: Actor, release: Release, reason: str) -> None:
    with pytest.raises(InvalidRequest):
        recall_release(alice, release.id, reason=reason)
    assert not get_release(alice, release.id).is_recalled
    assert audited(alice, "updates.recall_release") == 0


def test_an_operator_recalls_and_a_viewer_does_not(
    erin: Actor, bob: Actor, release: Release
) -> None:
    with pytest.raises(PermissionDenied):
        recall_release(bob, release.id, reason=REASON)
    assert recall_release(erin, release.id, reason=REASON).is_recalled


def test_a_missing_release_and_a_foreign_one_are_not_found(
    alice: Actor, charlie: Actor, release: Release, globex: Cast
) -> None:
    for actor, wanted in ((alice, uuid4()), (charlie, release.id)):
        for operation in (recall_release, deprecate_release):
            with pytest.raises(NotFound):
                operation(actor, wanted, reason=REASON)


def test_a_deprecated_release_can_be_rolled_out_and_says_why_not(
    alice: Actor, release: Release
) -> None:
    first = deprecate_release(alice, release.id, reason="2.0 is better.")
    again = deprecate_release(alice, release.id, reason="2.0 is better.")
    assert again.deprecated_at == first.deprecated_at
    assert audited(alice, "updates.deprecate_release") == 1
    renewed = deprecate_release(alice, release.id, reason="3.0 is better.")
    assert (renewed.deprecation_reason, renewed.deprecated_at) == (
        "3.0 is better.",
        first.deprecated_at,
    )
    assert make_rollout(alice, release).release_id == release.id
