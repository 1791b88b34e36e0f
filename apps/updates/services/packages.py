"""Bills of materials of releases."""

from typing import Any
from uuid import UUID

import orjson

from apps.audit.services.entries import record
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound, Unavailable, invalid
from apps.updates.domain.sbom import BadSbom, Sbom, read_sbom
from apps.updates.models import Artifact, Release, ReleasePackage
from apps.updates.permissions import ATTACH_RELEASE_SBOM
from apps.updates.selectors.artifacts import open_stored
from apps.updates.selectors.releases import reread_release

MAX_BYTES = 32 * 1024 * 1024


def attach_release_sbom(actor: Actor, release_id: UUID, *, artifact_id: UUID) -> Release:
    """Makes a stored CycloneDX or SPDX document a release's bill of materials.

    What devices install does not change by it. Attaching the same one again changes nothing,
    another one takes its place. Raises `InvalidRequest` for an artifact that is no such document.
    """
    rows = Release.objects.for_org(actor.organization_id).select_for_update(no_key=True)
    release: Release | None = rows.filter(id=release_id).first()
    if release is None:
        raise NotFound("There is no such release.")
    require(actor, ATTACH_RELEASE_SBOM)
    if release.sbom_id == artifact_id:
        return reread_release(actor, release.id)
    artifact = _artifact(actor, artifact_id)
    found = _read(artifact)
    packages = ReleasePackage.objects.for_org(actor.organization_id)
    packages.filter(release_id=release.id).delete()
    packages.bulk_create(
        (
            ReleasePackage(
                organization_id=actor.organization_id,
                release=release,
                name=package.name,
                version=package.version,
                purl=package.purl,
            )
            for package in found.packages
        ),
        batch_size=2000,
    )
    release.sbom = artifact
    release.save(update_fields=["sbom"])
    told = {"sha256": artifact.sha256, "format": found.format, "packages": len(found.packages)}
    record(actor, ATTACH_RELEASE_SBOM.name, release, changes=told)
    return reread_release(actor, release.id)


def _artifact(actor: Actor, artifact_id: UUID) -> Artifact:
    """Held, so that it is not deleted before the release refers to it."""
    rows = Artifact.objects.for_org(actor.organization_id).select_for_update(no_key=True)
    artifact: Artifact | None = rows.filter(id=artifact_id).first()
    if artifact is None:
        raise invalid("artifact_id", "unknown_artifact", "There is no such artifact.")
    if artifact.size_bytes > MAX_BYTES:
        raise invalid("artifact_id", "sbom_too_large", "A bill of materials has at most 32 MiB.")
    return artifact


def _read(artifact: Artifact) -> Sbom:
    try:
        return read_sbom(_document(artifact))
    except (BadSbom, orjson.JSONDecodeError) as error:
        message = str(error) if isinstance(error, BadSbom) else "It is no JSON."
        raise invalid("artifact_id", "invalid_sbom", message) from error


def _document(artifact: Artifact) -> Any:
    """The parsed file; depth is bounded by the parser, size before."""
    content = bytearray()
    try:
        file = open_stored(artifact, 0, artifact.size_bytes)
        with file:
            while chunk := file.read(artifact.size_bytes - len(content)):
                content += chunk
    except OSError as error:
        raise Unavailable("The artifact storage does not answer.") from error
    return orjson.loads(content)
