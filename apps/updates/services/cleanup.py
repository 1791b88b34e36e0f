"""Removing releases, artifacts and files that nothing uses; history stays readable."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound
from apps.core.transactions import after_commit
from apps.events.services.outbox import publish
from apps.organizations.storage import StoredFile
from apps.updates.errors import ReleaseInUse
from apps.updates.models import Artifact, Deployment, Release, ReleasePromotion, Rollout
from apps.updates.permissions import CLEAN_UP_STORAGE, DELETE_ARTIFACT, DELETE_RELEASE
from apps.updates.selectors.cleanup import (
    CleanUp,
    find_clean_up,
    retention_of,
    unused_artifacts,
    unused_releases,
)
from apps.updates.selectors.holding import files_of, find_holding
from apps.updates.selectors.releases import releases_with_components
from apps.updates.services.artifacts import remove_file, try_lock_content
from apps.updates.services.hold_lock import lock_for_holds
from apps.updates.services.uploads import forget_expired
from apps.updates.types import ReleaseRemoved


def delete_release(actor: Actor, release_id: UUID) -> None:
    """Removes a release that nothing uses.

    One that was never promoted, and that no rollout ever named, is gone without a trace but in the
    audit trail. Of any other only the files are removed: history still says what it was, and
    nothing can install it any more. Doing so again changes nothing. Raises `ReleaseInUse` with
    everything that uses it.
    """
    lock_for_holds(actor)
    rows = releases_with_components(actor).filter(id=release_id)
    release: Release | None = rows.select_for_update(of=("self",)).first()
    if release is None:
        raise NotFound("There is no such release.")
    require(actor, DELETE_RELEASE)
    if release.files_removed_at is not None:
        return
    users = find_holding(actor, [release])[release.id].lines
    if users:
        message = f"{ReleaseInUse.default_message} {'; '.join(users)}."
        raise ReleaseInUse(message, data={"uses": users})
    if _has_history(actor, release):
        _remove_releases(actor, [release], _mark_files(actor, [release]))
        return
    record(actor, DELETE_RELEASE.name, release, changes={"release": str(release)})
    publish(actor, ReleaseRemoved(release_id=release.id))
    release.delete()


def clean_up_storage(actor: Actor) -> CleanUp:
    """Removes what the organization's settings let go and nothing uses; answers what went.

    Releases keep their rows and lose their files; artifacts that no release names, uploads past
    their time and files that no artifact has go altogether. What is in somebody's hands at this
    moment stays for the next time. Raises `Unavailable` where the storage does not answer.
    """
    require(actor, CLEAN_UP_STORAGE)
    found = find_clean_up(actor)
    if found.is_empty:
        return found
    releases = _still_unused(actor, found.releases)
    files = _mark_files(actor, releases)
    artifacts = _still_unnamed(actor, found.artifacts)
    uploads = forget_expired(actor)
    strays = [file for file in found.strays if _remove_stray(actor, file)]
    _remove_releases(actor, releases, files)
    for artifact in artifacts:
        changes = {"name": artifact.name, "sha256": artifact.sha256}
        record(actor, DELETE_ARTIFACT.name, artifact, changes=changes)
        after_commit(partial(remove_file, actor, artifact.sha256))
        artifact.delete()
    done = CleanUp(releases, files, artifacts, uploads, strays)
    if not done.is_empty:
        record(actor, CLEAN_UP_STORAGE.name, changes=_told(done))
    return done


def _still_unused(actor: Actor, chosen: Sequence[Release]) -> list[Release]:
    """Those that nothing uses now, held, so that nothing begins to until the transaction ends."""
    if not chosen:
        return []
    lock_for_holds(actor)
    rows = releases_with_components(actor).filter(
        id__in=[release.id for release in chosen], files_removed_at=None
    )
    held = rows.order_by("id").select_for_update(skip_locked=True, of=("self",))
    return unused_releases(actor, list(held))


def _mark_files(actor: Actor, releases: Sequence[Release]) -> list[Artifact]:
    """Notes that the files of these releases are gone, and removes them after the commit."""
    chosen = partial(files_of, actor, [release.id for release in releases])
    files = _held(actor, chosen)
    for artifact in files:
        artifact.file_removed_at = clock.now()
        artifact.save(update_fields=["file_removed_at"])
        after_commit(partial(remove_file, actor, artifact.sha256))
    return files


def _still_unnamed(actor: Actor, chosen: Sequence[Artifact]) -> list[Artifact]:
    _keep, days = retention_of(actor.organization_id)
    return _held(actor, lambda: unused_artifacts(actor, days)) if chosen and days else []


def _held(actor: Actor, choose: Callable[[], list[Artifact]]) -> list[Artifact]:
    """The chosen artifacts that nobody is storing or naming at this moment, held.

    Whoever stores content holds its lock from before the file until the commit; whoever makes a
    release holds its artifacts. So what is chosen again under both is in nobody's hands.
    """
    ids = [a.id for a in choose() if try_lock_content(actor, a.sha256)]
    rows = Artifact.objects.for_org(actor.organization_id).filter(id__in=ids)
    held = {a.id: a for a in rows.order_by("id").select_for_update(skip_locked=True)}
    return [held[artifact.id] for artifact in choose() if artifact.id in held]


def _remove_stray(actor: Actor, file: StoredFile) -> bool:
    """After the commit, unless it is being stored, or has become an artifact meanwhile."""
    sha256 = file.name.rpartition("/")[2]
    rows = Artifact.objects.for_org(actor.organization_id)
    if not try_lock_content(actor, sha256):
        return False
    if rows.filter(sha256=sha256, file_removed_at=None).exists():
        return False
    after_commit(partial(remove_file, actor, sha256))
    return True


def _remove_releases(actor: Actor, releases: Sequence[Release], files: Sequence[Artifact]) -> None:
    gone = {artifact.id for artifact in files}
    for release in releases:
        release.files_removed_at = clock.now()
        release.save(update_fields=["files_removed_at"])
        names = [p.artifact.name for p in release.components.all() if p.artifact_id in gone]
        record(actor, DELETE_RELEASE.name, release, changes={"removed_files": names})
        publish(actor, ReleaseRemoved(release_id=release.id))


def _has_history(actor: Actor, release: Release) -> bool:
    """Whether anything tells of it: then its row stays."""
    tables: tuple[Any, ...] = (Rollout, Deployment, ReleasePromotion)
    rows = (table.objects.for_org(actor.organization_id) for table in tables)
    return any(each.filter(release_id=release.id).exists() for each in rows)


def _told(done: CleanUp) -> dict[str, Any]:
    return {
        "releases": len(done.releases),
        "artifacts": len(done.artifacts),
        "files": len(done.files) + len(done.strays),
        "uploads": len(done.uploads),
        "bytes": done.size_bytes,
    }
