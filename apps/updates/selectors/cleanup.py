"""What nothing uses any more: what the next clean-up would remove."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import Unavailable
from apps.organizations.domain.settings import value
from apps.organizations.models import Organization
from apps.organizations.storage import StoredFile, artifact_storage
from apps.updates.domain.storage import is_sha256
from apps.updates.models import Artifact, ArtifactUpload, Component, Release
from apps.updates.permissions import CLEAN_UP_STORAGE
from apps.updates.selectors.holding import GRACE, MOST_FILES, files_of, find_holding
from apps.updates.selectors.releases import releases_with_components

KEEP_RELEASES = "updates.keep_releases"
RETENTION_DAYS = "updates.artifact_retention_days"
MOST_RELEASES = 200


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What a clean-up removes, at most so much at a time; the rest follows with the next one."""

    releases: list[Release] = field(default_factory=list)
    # Files that go with them, or went with releases before: their artifacts stay as history.
    files: list[Artifact] = field(default_factory=list)
    # Artifacts that no release names.
    artifacts: list[Artifact] = field(default_factory=list)
    uploads: list[ArtifactUpload] = field(default_factory=list)
    # Files that no artifact has, left by a crash between file and row.
    strays: list[StoredFile] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """How much room it makes."""
        stored = sum(artifact.size_bytes for artifact in (*self.files, *self.artifacts))
        strays = sum(file.size_bytes for file in self.strays)
        return stored + strays + sum(upload.received_bytes for upload in self.uploads)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not any((self.releases, self.files, self.artifacts, self.uploads, self.strays))


def preview_clean_up(actor: Actor) -> CleanUp:
    """What a clean-up would remove now."""
    require(actor, CLEAN_UP_STORAGE)
    return find_clean_up(actor)


def find_clean_up(actor: Actor) -> CleanUp:
    """The same, for services that have asked for their right. Raises `Unavailable`."""
    releases = _releases(actor)
    return CleanUp(
        releases=releases,
        files=files_of(actor, [release.id for release in releases]),
        artifacts=_artifacts(actor),
        uploads=_uploads(actor),
        strays=find_strays(actor),
    )


def retention_of(organization_id: UUID) -> tuple[int, int]:
    """How many releases of a name are kept, and how many days unused artifacts; 0 for ever."""
    organization = Organization.objects.get(id=organization_id)
    return value(organization, KEEP_RELEASES), value(organization, RETENTION_DAYS)


def unused_releases(actor: Actor, releases: list[Release]) -> list[Release]:
    """Those of these releases that nothing keeps."""
    holding = find_holding(actor, releases)
    return [release for release in releases if not holding[release.id].lines]


def unused_artifacts(actor: Actor, days: int) -> list[Artifact]:
    """Artifacts that no release names and that nobody stored for so many days, oldest first."""
    parts = Component.objects.for_org(actor.organization_id).filter(artifact_id=OuterRef("id"))
    described = Release.objects.for_org(actor.organization_id).filter(sbom_id=OuterRef("id"))
    uploads = ArtifactUpload.objects.for_org(actor.organization_id).filter(
        artifact_id=OuterRef("id"), expires_at__gte=clock.now()
    )
    rows = Artifact.objects.for_org(actor.organization_id).annotate(
        last=Coalesce("stored_again_at", "created_at")
    )
    old = rows.filter(last__lt=clock.now() - timedelta(days=days))
    used = Q(Exists(parts)) | Q(Exists(described)) | Q(Exists(uploads))
    return list(old.exclude(used).order_by("id")[:MOST_FILES])


def find_strays(actor: Actor) -> list[StoredFile]:
    """Files of the organization, older than a day, that no artifact has."""
    rows = Artifact.objects.for_org(actor.organization_id).filter(file_removed_at=None)
    known = set(rows.values_list("sha256", flat=True))
    oldest = (clock.now() - GRACE).timestamp()
    found = []
    try:
        for file in artifact_storage().list_files(actor.organization_id.hex):
            sha256 = file.name.rpartition("/")[2]
            if is_sha256(sha256) and sha256 not in known and file.modified_at < oldest:
                found.append(file)
    except OSError as error:
        raise Unavailable("The artifact storage does not answer.") from error
    return found[:MOST_FILES]


def _releases(actor: Actor) -> list[Release]:
    """Releases beyond the newest ones of their names that nothing keeps, oldest first."""
    keep, _days = retention_of(actor.organization_id)
    if not keep:
        return []
    rows = Release.objects.for_org(actor.organization_id).filter(files_removed_at=None)
    newest: Counter[str] = Counter()
    chosen: list[UUID] = []
    told = rows.order_by("-id").values_list("id", "name", "recalled_at", "created_at")
    for release_id, name, recalled_at, created_at in told.iterator():
        newest[name] += recalled_at is None
        is_beyond = recalled_at is not None or newest[name] > keep
        if is_beyond and created_at < clock.now() - GRACE:
            chosen.append(release_id)
    chosen.sort()
    found: list[Release] = []
    for start in range(0, len(chosen), MOST_RELEASES):
        rows = releases_with_components(actor).filter(id__in=chosen[start : start + MOST_RELEASES])
        found += unused_releases(actor, list(rows.order_by("id")))
        if len(found) >= MOST_RELEASES:
            break
    return found[:MOST_RELEASES]


def _artifacts(actor: Actor) -> list[Artifact]:
    _keep, days = retention_of(actor.organization_id)
    return unused_artifacts(actor, days) if days else []


def _uploads(actor: Actor) -> list[ArtifactUpload]:
    rows = ArtifactUpload.objects.for_org(actor.organization_id)
    return list(rows.filter(expires_at__lt=clock.now()).order_by("id")[:MOST_FILES])
