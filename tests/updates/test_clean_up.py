"""Removing what nothing uses, and keeping what anything may need."""

import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor, system_actor
from apps.core.errors import FleetdError, InvalidRequest, NotFound, PermissionDenied
from apps.core.tenancy import tenant
from apps.devices.domain.states import Lifecycle
from apps.devices.models import Device
from apps.organizations.models import Organization
from apps.updates.errors import ReleaseFilesRemoved, ReleaseInUse
from apps.updates.models import Artifact, ArtifactUpload, Release
from apps.updates.permissions import DELETE_RELEASE
from apps.updates.selectors import cleanup as cleanup_selectors
from apps.updates.selectors import holding as holding_selectors
from apps.updates.selectors.artifacts import count_stored_bytes, is_stored
from apps.updates.selectors.cleanup import preview_clean_up
from apps.updates.selectors.releases import get_release
from apps.updates.selectors.rollouts import check_log, get_rollout
from apps.updates.services.artifacts import store_artifact
from apps.updates.services.channels import close_release_channel, promote_release
from apps.updates.services.cleanup import clean_up_storage, delete_release
from apps.updates.services.planning import create_rollout
from apps.updates.services.recalls import refuse_recalled
from apps.updates.services.releases import create_release
from apps.updates.services.rollbacks import roll_back_rollout
from apps.updates.services.rollouts import cancel_rollout
from apps.updates.services.uploads import append_to_artifact_upload, create_artifact_upload
from apps.updates.types import Compatibility, NewComponent, Target
from tests.factories import Cast
from tests.updates.conftest import Fleet, file_path, make_release, make_rollout

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[timedelta]:
    """How far the clock is put forward; releases of today stay in any case."""
    ahead = [timedelta()]
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + ahead[0])
    return ahead


def keep(acme: Cast, **settings: int) -> None:
    """Sets what the organization keeps."""
    Organization.objects.filter(id=acme.id).update(
        settings={f"updates.{name}": value for name, value in settings.items()}
    )


def do(actor: Actor, service: Callable[..., Any], *given: Any, **values: Any) -> Any:
    """One call in a transaction of its own, as doors make them."""
    with tenant(actor.organization_id):
        return service(actor, *given, **values)


def release_of(actor: Actor, version: str, content: bytes = b"") -> Release:
    """A release of one script."""
    with tenant(actor.organization_id):
        return make_release(actor, version, content or f"echo {version}\n".encode())


def artifact_of(actor: Actor, release: Release) -> Artifact:
    """The file of a release, as it is stored now."""
    with tenant(actor.organization_id):
        part = release.components.select_related("artifact").get(
            organization_id=actor.organization_id
        )
        return Artifact.objects.for_org(actor.organization_id).get(id=part.artifact_id)


def has_files(actor: Actor, release: Release) -> bool:
    """Whether its file is there, by its row and by the storage: these must agree."""
    artifact = artifact_of(actor, release)
    assert (artifact.file_removed_at is None) == is_stored(artifact)
    return is_stored(artifact)


def installed(acme: Cast, **versions: str) -> None:
    """The first device reports this."""
    change(acme, installed=versions)


def change(acme: Cast, **values: Any) -> None:
    """Something else about the first device."""
    with tenant(acme.id):
        assert Device.objects.for_org(acme.id).filter(id=acme.device.id).update(**values) == 1


def removed(actor: Actor, *releases: Release) -> list[str]:
    """Cleans up, and says which of these have lost their files."""
    do(actor, clean_up_storage)
    return [r.version for r in releases if do(actor, get_release, r.id).files_removed_at]


@pytest.fixture
def releases(alice: Actor, acme: Cast) -> list[Release]:
    """Four releases of one name, oldest first."""
    return [release_of(alice, f"{n}.0.0") for n in (1, 2, 3, 4)]


def test_nothing_is_removed_unless_the_organization_says_so(
    alice: Actor, releases: list[Release], now: list[timedelta]
) -> None:
    now[0] = timedelta(days=4000)
    assert do(alice, preview_clean_up).is_empty
    assert removed(alice, *releases) == []


def test_the_newest_stay_and_so_does_what_is_of_today(
    alice: Actor, acme: Cast, releases: list[Release], now: list[timedelta]
) -> None:
    keep(acme, keep_releases=2)
    assert removed(alice, *releases) == []
    now[0] = timedelta(days=2)
    told = do(alice, preview_clean_up)
    assert [r.version for r in told.releases] == ["1.0.0", "2.0.0"]
    assert told.size_bytes == sum(artifact_of(alice, r).size_bytes for r in releases[:2])
    assert removed(alice, *releases) == ["1.0.0", "2.0.0"]
    assert [has_files(alice, r) for r in releases] == [False, False, True, True]
    assert do(alice, preview_clean_up).is_empty


def test_a_removed_release_is_still_known_and_nothing_installs_it(
    alice: Actor, acme: Cast, releases: list[Release], now: list[timedelta]
) -> None:
    keep(acme, keep_releases=1)
    now[0] = timedelta(days=2)
    do(alice, clean_up_storage)
    gone = do(alice, get_release, releases[0].id)
    assert [p.artifact.sha256 for p in gone.components.all()]
    for attempt in (
        lambda: do(alice, make_rollout, gone),
        lambda: do(alice, promote_release, gone.id, channel="stable"),
    ):
        with pytest.raises(ReleaseFilesRemoved):
            attempt()
    part = NewComponent(name="x", kind="script", artifact_id=artifact_of(alice, gone).id)
    with pytest.raises(InvalidRequest) as refused:
        do(alice, create_release, name="other", version="1.0.0", components=[part])
    assert refused.value.fields[0].code == "artifact_file_removed"
    with tenant(acme.id):
        entry = AuditEntry.objects.for_org(acme.id).filter(action="updates.delete_release").first()
    assert (entry.object_label, entry.changes) == ("hello 1.0.0", {"removed_files": ["hello.sh"]})


def test_the_same_content_again_has_its_bytes_back_and_counts(
    alice: Actor, acme: Cast, releases: list[Release], now: list[timedelta]
) -> None:
    keep(acme, keep_releases=3)
    now[0] = timedelta(days=2)
    before = count_of(acme)
    do(alice, clean_up_storage)
    artifact = artifact_of(alice, releases[0])
    assert count_of(acme) == before - artifact.size_bytes
    again = do(alice, store_artifact, name="x", file=io.BytesIO(b"echo 1.0.0\n"))
    assert (again.id, is_stored(again)) == (artifact.id, True)
    assert count_of(acme) == before
    assert do(alice, preview_clean_up).is_empty, "a new release may follow"


def count_of(acme: Cast) -> int:
    """What counts against the quota."""
    with tenant(acme.id):
        return count_stored_bytes(acme.id)


def test_a_file_that_another_release_has_stays(
    alice: Actor, acme: Cast, now: list[timedelta]
) -> None:
    old, new = release_of(alice, "1.0.0", b"same"), release_of(alice, "2.0.0", b"same")
    keep(acme, keep_releases=1)
    now[0] = timedelta(days=2)
    assert removed(alice, old, new) == ["1.0.0"]
    assert has_files(alice, new)


def _promoted(alice: Actor, acme: Cast, release: Release) -> str:
    do(alice, promote_release, release.id, channel="stable")
    return "channel stable"


def _planned(alice: Actor, acme: Cast, release: Release) -> str:
    do(alice, make_rollout, release, name="Draft")
    return "rollout Draft is not over"


def _installed(alice: Actor, acme: Cast, release: Release) -> str:
    installed(acme, hello="1.0.0")
    return "installed on 1 device"


def _needed(alice: Actor, acme: Cast, release: Release) -> str:
    part = NewComponent(name="app", kind="script", artifact_id=artifact_of(alice, release).id)
    fits = Compatibility(requires=[("hello", "<1.5")])
    do(alice, create_release, name="app", version="1.0.0", components=[part], compatibility=fits)
    return "app 1.0.0 requires it"


@pytest.mark.parametrize("use", [_promoted, _planned, _installed, _needed])
def test_what_is_in_use_stays_and_says_why(
    alice: Actor, acme: Cast, releases: list[Release], now: list[timedelta], use: Any
) -> None:
    words = use(alice, acme, releases[0])
    keep(acme, keep_releases=1)
    now[0] = timedelta(days=2)
    assert removed(alice, *releases) == ["2.0.0", "3.0.0"]
    assert has_files(alice, releases[0])
    with pytest.raises(ReleaseInUse) as refused:
        do(alice, delete_release, releases[0].id)
    assert words in refused.value.data["uses"]
    assert words in refused.value.message


def test_what_decommissioned_devices_had_goes(
    alice: Actor, acme: Cast, releases: list[Release], now: list[timedelta]
) -> None:
    installed(acme, hello="1.0.0")
    change(acme, lifecycle=Lifecycle.DECOMMISSIONED)
    keep(acme, keep_releases=1)
    now[0] = timedelta(days=2)
    assert "1.0.0" in removed(alice, *releases)


def test_a_stepping_stone_stays(alice: Actor, acme: Cast, now: list[timedelta]) -> None:
    with tenant(acme.id):
        artifact = store_artifact(alice, name="s", file=io.BytesIO(b"stone"))
        part = NewComponent(name="hello", kind="script", artifact_id=artifact.id)
        stone = create_release(
            alice, name="hello", version="1.0.0", components=[part],
            compatibility=Compatibility(is_stepping_stone=True),
        )  # fmt: skip
    release_of(alice, "2.0.0")
    keep(acme, keep_releases=1)
    now[0] = timedelta(days=2)
    assert removed(alice, stone) == []


@pytest.fixture
def open_fleet(acme: Cast, globex: Cast, alice: Actor) -> Fleet:
    """Acme's two devices."""
    return Fleet(acme.id, [d.id for d in acme.devices], alice)


def roll_out(fleet: Fleet, version: str) -> Any:
    """Every device installs this version."""
    with tenant(fleet.organization_id):
        rollout = fleet.start(version=version)
        fleet.finish(fleet.claim())
        fleet.advance(rollout)
        return get_rollout(fleet.alice, rollout.id)


def test_what_devices_would_go_back_to_stays_and_history_tells_of_the_rest(
    open_fleet: Fleet, alice: Actor, acme: Cast, now: list[timedelta]
) -> None:
    rollouts = [roll_out(open_fleet, version) for version in ("1.0.0", "2.0.0", "3.0.0")]
    made = [do(alice, get_release, rollout.release_id) for rollout in rollouts]
    keep(acme, keep_releases=1)
    now[0] = timedelta(days=2)
    assert removed(alice, *made) == ["1.0.0"]
    with pytest.raises(ReleaseInUse) as refused:
        do(alice, delete_release, made[1].id)
    assert "2 devices would go back to it" in refused.value.data["uses"]
    with tenant(acme.id):
        old = get_rollout(alice, rollouts[0].id)
        check = check_log(alice, old.id)
    assert (str(old.release), check.replayed_hash, check.differences) == (
        "hello 1.0.0",
        check.stored_hash,
        (),
    )
    back = do(alice, roll_back_rollout, rollouts[2].id)
    assert back.release_id == made[1].id


def test_a_draft_is_gone_altogether_and_what_has_history_is_not(
    alice: Actor, acme: Cast, releases: list[Release]
) -> None:
    first, second, *_ = releases
    promotion = do(alice, promote_release, second.id, channel="stable")
    do(alice, close_release_channel, promotion.id, reason="A try.")
    for _ in range(2):
        do(alice, delete_release, second.id)
    do(alice, delete_release, first.id)
    with pytest.raises(NotFound):
        do(alice, get_release, first.id)
    assert do(alice, get_release, second.id).files_removed_at is not None
    assert not has_files(alice, second)
    with tenant(acme.id):
        entries = AuditEntry.objects.for_org(acme.id).filter(action="updates.delete_release")
        assert entries.count() == 2


def test_a_cancelled_rollout_lets_go(alice: Actor, acme: Cast, releases: list[Release]) -> None:
    rollout = do(alice, make_rollout, releases[0])
    with pytest.raises(ReleaseInUse):
        do(alice, delete_release, releases[0].id)
    do(alice, cancel_rollout, rollout.id)
    do(alice, delete_release, releases[0].id)
    assert do(alice, get_rollout, rollout.id).release.version == "1.0.0"


def test_only_deployers_remove(
    alice: Actor, bob: Actor, erin: Actor, charlie: Actor, acme: Cast, releases: list[Release]
) -> None:
    for actor in (bob, erin):
        for attempt in (
            lambda who=actor: do(who, delete_release, releases[0].id),
            lambda who=actor: do(who, clean_up_storage),
            lambda who=actor: do(who, preview_clean_up),
        ):
            with pytest.raises(PermissionDenied):
                attempt()
    with pytest.raises(NotFound):
        do(charlie, delete_release, releases[0].id)


def test_what_keeps_a_release_is_named_to_those_who_see_it(
    alice: Actor, acme: Cast, releases: list[Release]
) -> None:
    do(alice, make_rollout, releases[0], name="zebra")
    blind = alice.narrowed(frozenset({DELETE_RELEASE.name}))
    for actor, words in ((alice, "rollout zebra"), (blind, "rollout out of your sight")):
        with pytest.raises(ReleaseInUse) as refused:
            do(actor, delete_release, releases[0].id)
        assert f"{words} is not over" in refused.value.message


def test_a_release_that_is_gone_when_its_turn_comes_is_not_found(
    alice: Actor, releases: list[Release]
) -> None:
    """Whoever plans looks the release up first, and may wait for who removes it."""
    do(alice, delete_release, releases[0].id)
    with pytest.raises(NotFound):
        do(alice, refuse_recalled, releases[0].id)


def test_artifacts_that_no_release_names_go_after_their_days(
    alice: Actor, acme: Cast, releases: list[Release], now: list[timedelta]
) -> None:
    lone = do(alice, store_artifact, name="lone", file=io.BytesIO(b"lone"))
    keep(acme, artifact_retention_days=30)
    now[0] = timedelta(days=29)
    assert do(alice, clean_up_storage).is_empty
    do(alice, store_artifact, name="lone", file=io.BytesIO(b"lone"))
    now[0] = timedelta(days=58)
    assert do(alice, clean_up_storage).is_empty, "counted from the last upload"
    now[0] = timedelta(days=60)
    assert [a.name for a in do(alice, preview_clean_up).artifacts] == ["lone"]
    assert [a.name for a in do(alice, clean_up_storage).artifacts] == ["lone"]
    assert not file_path(lone).exists()
    assert all(has_files(alice, release) for release in releases)


def test_files_that_no_artifact_has_go_after_a_day_and_those_of_others_stay(
    alice: Actor, charlie: Actor, acme: Cast, globex: Cast, storage: Path
) -> None:
    theirs = do(charlie, store_artifact, name="x", file=io.BytesIO(b"theirs"))
    ours = do(alice, store_artifact, name="x", file=io.BytesIO(b"theirs"))
    with tenant(acme.id):
        Artifact.objects.for_org(acme.id).filter(id=ours.id).delete()
    assert do(alice, preview_clean_up).is_empty
    for artifact in (ours, theirs):
        os.utime(file_path(artifact), (0, 0))
    assert [f.size_bytes for f in do(alice, preview_clean_up).strays] == [6]
    do(alice, clean_up_storage)
    assert (file_path(ours).exists(), file_path(theirs).exists()) == (False, True)


def test_uploads_past_their_time_go(alice: Actor, acme: Cast, now: list[timedelta]) -> None:
    upload = do(alice, create_artifact_upload, name="big", size_bytes=100)
    do(alice, append_to_artifact_upload, upload.id, offset=0, part=io.BytesIO(b"x" * 40))
    now[0] = timedelta(days=2)
    told = do(alice, preview_clean_up)
    assert (len(told.uploads), told.size_bytes) == (1, 40)
    do(alice, clean_up_storage)
    with tenant(acme.id):
        assert not ArtifactUpload.objects.for_org(acme.id).exists()


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is spared for being new: only locks are left to keep what is being stored."""
    for module in (cleanup_selectors, holding_selectors):
        monkeypatch.setattr(module, "GRACE", timedelta(seconds=-5))


@pytest.mark.usefixtures("no_grace")
def test_a_file_is_never_removed_between_its_upload_and_its_record(
    alice: Actor, acme: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clean-up runs while an upload's file lies there and its row is not committed."""
    is_stored_now, may_commit = threading.Event(), threading.Event()

    def upload() -> Artifact:
        try:
            with tenant(acme.id):
                artifact = store_artifact(alice, name="x", file=io.BytesIO(b"content"))
                is_stored_now.set()
                assert may_commit.wait(20)
                return artifact
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        uploading = pool.submit(upload)
        assert is_stored_now.wait(20)
        done = do(alice, clean_up_storage)
        may_commit.set()
        artifact = uploading.result()
    assert done.is_empty
    assert file_path(artifact).read_bytes() == b"content"


def at_once(*works: Callable[[int], None]) -> None:
    """Each of these a dozen times in a thread of its own; what fails with more than a refusal
    fails the test.
    """

    def run(work: Callable[[int], None]) -> None:
        try:
            for turn in range(12):
                with suppress(FleetdError):
                    work(turn)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(run, work) for work in works]:
            done.result(60)


@pytest.mark.usefixtures("no_grace")
def test_uploads_and_clean_ups_at_once_leave_rows_and_files_in_agreement(
    alice: Actor, acme: Cast, now: list[timedelta]
) -> None:
    """Threads store, name and remove the same few contents; whoever was told "stored" has it."""
    keep(acme, keep_releases=1, artifact_retention_days=1)
    now[0] = timedelta(days=3)
    contents = [f"content {n}".encode() for n in range(3)]
    system = system_actor(acme.id)

    def storing(turn: int) -> None:
        content = contents[turn % len(contents)]
        do(alice, store_artifact, name="x", file=io.BytesIO(content))

    def naming(turn: int) -> None:
        release_of(alice, f"{turn}.1.0", contents[turn % len(contents)])

    def cleaning(_turn: int) -> None:
        do(system, clean_up_storage)

    at_once(storing, storing, naming, cleaning, cleaning)
    with tenant(acme.id):
        rows = list(Artifact.objects.for_org(acme.id))
        named = Release.objects.for_org(acme.id).filter(files_removed_at=None)
        kept = set(named.values_list("components__artifact_id", flat=True))
    for artifact in rows:
        assert is_stored(artifact) == (artifact.file_removed_at is None)
    assert all(is_stored(artifact) for artifact in rows if artifact.id in kept)


def test_a_release_that_is_planned_at_this_moment_is_not_removed(
    alice: Actor, acme: Cast, releases: list[Release], now: list[timedelta]
) -> None:
    """Its plan has looked at the release, and is stored only after the clean-up."""
    keep(acme, keep_releases=1)
    now[0] = timedelta(days=2)
    is_planned, may_commit = threading.Event(), threading.Event()

    def plan() -> None:
        try:
            with tenant(acme.id):
                refuse_recalled(alice, releases[0].id)
                is_planned.set()
                assert may_commit.wait(20)
                create_rollout(alice, name="x", release_id=releases[0].id, target=Target())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        planning = pool.submit(plan)
        assert is_planned.wait(20)
        gone = removed(alice, *releases)
        may_commit.set()
        planning.result()
    assert gone == ["2.0.0", "3.0.0"]
