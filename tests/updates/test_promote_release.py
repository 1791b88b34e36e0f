"""Channels: names that point at one release of a name at a time."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connections

from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.events.models import OutboxEvent
from apps.updates.errors import ChannelMoved, RecalledRelease, UnknownRelease
from apps.updates.models import Release
from apps.updates.selectors.channels import find_release, list_release_channels
from apps.updates.selectors.releases import get_release, list_releases
from apps.updates.services.channels import close_release_channel, promote_release
from apps.updates.services.planning import update_rollout
from apps.updates.services.recalls import recall_release
from apps.updates.types import Target
from tests.factories import Cast
from tests.updates.conftest import make_release, make_rollout


def entries(actor: Actor, action: str = "updates.promote_release") -> list[AuditEntry]:
    """What was recorded of this, oldest first."""
    rows = AuditEntry.objects.for_org(actor.organization_id).filter(action=action)
    return list(rows.order_by("sequence"))


def current(actor: Actor) -> dict[str, str]:
    """What each channel points at."""
    page = list_release_channels(actor, PageRequest())
    return {str(each): each.release.version for each in page.items}


def test_a_channel_points_at_the_release_that_was_promoted_last(
    alice: Actor, release: Release
) -> None:
    second = make_release(alice, "2.0.0", b"echo two\n")
    promote_release(alice, release.id, channel="stable", reason="  It soaked for a week. ")
    promote_release(alice, second.id, channel="beta")
    assert current(alice) == {"hello@stable": "1.0.0", "hello@beta": "2.0.0"}
    promote_release(alice, second.id, channel="stable")
    assert current(alice) == {"hello@stable": "2.0.0", "hello@beta": "2.0.0"}
    assert get_release(alice, second.id).channels == ["beta", "stable"]
    assert get_release(alice, release.id).channels == []


def test_a_promotion_says_who_why_and_what_was_there_before(alice: Actor, release: Release) -> None:
    second = make_release(alice, "2.0.0", b"echo two\n")
    promote_release(alice, release.id, channel="stable")
    promote_release(alice, second.id, channel="stable", reason="It soaked for a week.")
    first, last = entries(alice)
    assert first.changes == {"channel": "stable", "version": [None, "1.0.0"]}
    assert last.changes == {
        "channel": "stable",
        "version": ["1.0.0", "2.0.0"],
        "reason": "It soaked for a week.",
    }
    events = OutboxEvent.objects.for_org(alice.organization_id)
    assert events.filter(type="updates.release.promoted.v1").count() == 2
    history = list_release_channels(alice, PageRequest(), name="hello", with_history=True).items
    assert [(p.release.version, p.promoted_by, p.ended_at is None) for p in history] == [
        ("2.0.0", alice.label, True),
        ("1.0.0", alice.label, False),
    ]


def test_promoting_again_changes_nothing(alice: Actor, release: Release) -> None:
    first = promote_release(alice, release.id, channel="stable", reason="Good.")
    again = promote_release(alice, release.id, channel="stable", reason="Better.")
    assert (again.id, again.reason) == (first.id, "Good.")
    assert len(entries(alice)) == 1


def test_a_promoted_release_is_locked(alice: Actor, release: Release) -> None:
    assert release.locked_at is None
    promote_release(alice, release.id, channel="stable")
    assert get_release(alice, release.id).locked_at is not None


def test_a_recalled_release_is_not_promoted(alice: Actor, release: Release) -> None:
    recall_release(alice, release.id, reason="It fills the disk.")
    with pytest.raises(RecalledRelease):
        promote_release(alice, release.id, channel="stable")
    assert current(alice) == {}


@pytest.mark.parametrize(
    "channel", ["", "Stable", "a b", "1st", "-x", "x-", "a--b", "a@b", "x" * 33, "a\n", "ß"]
)
def test_names_of_channels_are_checked(alice: Actor, release: Release, channel: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        promote_release(alice, release.id, channel=channel)
    assert refused.value.fields[0].code == "invalid_channel"


def test_only_deployers_promote(erin: Actor, bob: Actor, alice: Actor, release: Release) -> None:
    promotion = promote_release(alice, release.id, channel="stable")
    for actor in (erin, bob):
        with pytest.raises(PermissionDenied):
            promote_release(actor, release.id, channel="beta")
        with pytest.raises(PermissionDenied):
            close_release_channel(actor, promotion.id, reason="Nobody follows it.")
    assert current(bob) == {"hello@stable": "1.0.0"}


def test_missing_and_foreign_releases_and_channels_are_not_found(
    alice: Actor, charlie: Actor, release: Release, globex: Cast
) -> None:
    promotion = promote_release(alice, release.id, channel="stable")
    for actor, wanted in ((alice, uuid4()), (charlie, release.id)):
        with pytest.raises(NotFound):
            promote_release(actor, wanted, channel="stable")
    for actor, wanted in ((alice, uuid4()), (charlie, promotion.id)):
        with pytest.raises(NotFound):
            close_release_channel(actor, wanted, reason="x")
    with pytest.raises(UnknownRelease):
        find_release(charlie, "hello@stable")


def test_a_closed_channel_points_at_nothing_and_its_history_stays(
    alice: Actor, release: Release
) -> None:
    promotion = promote_release(alice, release.id, channel="stable")
    for _ in range(2):
        close_release_channel(alice, promotion.id, reason="Nobody follows it.")
    assert current(alice) == {}
    with pytest.raises(UnknownRelease):
        find_release(alice, "hello@stable")
    assert len(entries(alice)) == 2
    assert entries(alice)[-1].changes == {"closed": "stable", "reason": "Nobody follows it."}
    assert len(list_release_channels(alice, PageRequest(), with_history=True).items) == 1
    promote_release(alice, release.id, channel="stable")
    assert current(alice) == {"hello@stable": "1.0.0"}


def test_closing_what_was_replaced_leaves_the_channel_alone(alice: Actor, release: Release) -> None:
    old = promote_release(alice, release.id, channel="stable")
    promote_release(alice, make_release(alice, "2.0.0", b"two\n").id, channel="stable")
    close_release_channel(alice, old.id, reason="An old page.")
    assert current(alice) == {"hello@stable": "2.0.0"}


def test_names_mean_versions_and_channels(alice: Actor, release: Release) -> None:
    promote_release(alice, release.id, channel="stable")
    assert find_release(alice, "hello@1.0.0") == (release.id, "")
    assert find_release(alice, " hello@stable ") == (release.id, "stable")
    for unknown in ("hello@beta", "hello", "@stable", "other@stable", "", "hello@"):
        with pytest.raises(UnknownRelease):
            find_release(alice, unknown)


def test_a_version_that_is_called_like_a_channel_is_refused(alice: Actor, release: Release) -> None:
    promote_release(alice, release.id, channel="stable")
    make_release(alice, "stable", b"echo odd\n")
    with pytest.raises(InvalidRequest) as refused:
        find_release(alice, "hello@stable")
    assert refused.value.fields[0].code == "ambiguous_release"


def test_a_rollout_keeps_its_release_when_the_channel_moves(alice: Actor, release: Release) -> None:
    promote_release(alice, release.id, channel="stable")
    rollout = make_rollout(alice, release, channel="stable")
    promote_release(alice, make_release(alice, "2.0.0", b"two\n").id, channel="stable")
    rollout.refresh_from_db()
    assert rollout.release_id == release.id
    (entry,) = entries(alice, "updates.create_rollout")
    assert (entry.changes["channel"], entry.changes["release"]) == ("stable", "hello 1.0.0")


def test_a_plan_for_a_channel_that_has_moved_is_refused(alice: Actor, release: Release) -> None:
    draft = make_rollout(alice, release)
    promote_release(alice, make_release(alice, "2.0.0", b"two\n").id, channel="stable")
    for channel in ("stable", "beta"):
        with pytest.raises(ChannelMoved):
            make_rollout(alice, release, channel=channel)
        with pytest.raises(ChannelMoved):
            update_rollout(
                alice, draft.id, name="x", release_id=release.id, target=Target(), channel=channel
            )


def test_releases_are_found_by_name_version_and_channel(alice: Actor, release: Release) -> None:
    second = make_release(alice, "2.0.0", b"echo two\n")
    promote_release(alice, second.id, channel="stable")
    for search, ids in {
        "ELL": [second.id, release.id],
        "1.0": [release.id],
        "stable": [second.id],
        "nothing": [],
    }.items():
        page = list_releases(alice, PageRequest(), search=search)
        assert [each.id for each in page.items] == ids


def test_a_page_of_releases_reads_channels_at_once(
    alice: Actor, release: Release, django_assert_max_num_queries: object
) -> None:
    for number in range(5):
        made = make_release(alice, f"2.{number}.0", f"echo {number}\n".encode())
        promote_release(alice, made.id, channel=f"c{number}")
    with django_assert_max_num_queries(4):
        found = list_releases(alice, PageRequest()).items
        assert [len(each.channels) for each in found] == [1] * 5 + [0]


@pytest.mark.django_db(transaction=True)
def test_a_channel_that_two_people_move_at_once_points_at_one_release(
    acme: Cast, alice: Actor
) -> None:
    with tenant(acme.id):
        made = [make_release(alice, f"{n}.0.0", f"echo {n}\n".encode()) for n in (1, 2)]

    def promote(turn: int) -> None:
        try:
            with tenant(acme.id):
                promote_release(alice, made[turn % 2].id, channel="stable")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(promote, range(16)))
    with tenant(acme.id):
        history = list_release_channels(alice, PageRequest(), with_history=True).items
        assert len(current(alice)) == 1
        assert len([each for each in history if each.ended_at is None]) == 1
        assert len(history) == len(entries(alice))
