"""Everything that an organization has, as an archive: written piece by piece, in the background.

Each piece is one batch of rows of one table, a file of its own, written before the row that counts
it is committed; a worker that dies repeats its last piece. At the end the pieces are put together
into one zip: `tables/<table>.jsonl.gz`, one JSON object per line, beside `organization.json`,
`people.jsonl` and `manifest.json`. Secrets and their digests are left out.
"""

import gzip
import hashlib
import shutil
import time
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import structlog
from django.apps import apps
from django.db.models import Model

from apps.accounts.models import User
from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound
from apps.core.tasks import wake
from apps.core.tenancy import OrgOwnedModel
from apps.core.transactions import after_commit
from apps.organizations.domain.settings import values
from apps.organizations.models import Membership, Organization, OrganizationExport
from apps.organizations.permissions import EXPORT_ORGANIZATION
from apps.organizations.storage import export_file, export_folder

log = structlog.get_logger(__name__)

EXPORT_TASK = "organizations.continue_export"
FORMAT = 1
BATCH_ROWS = 2_000
TURN_SECONDS = 5.0  # after which what is written is committed, so that progress shows
KEPT = timedelta(days=7)
LEFT_OUT = ("secret", "password", "private", "sealed")
State = OrganizationExport.State


def export_organization(actor: Actor, organization_id: UUID) -> OrganizationExport:
    """Begins an archive of everything that the organization has, or answers the one under way.

    For owners, also while the organization is suspended or being deleted. A worker writes it; it
    can be downloaded for a week.
    """
    if organization_id != actor.organization_id:
        raise NotFound
    Organization.objects.select_for_update(no_key=True).get(id=organization_id)
    require(actor, EXPORT_ORGANIZATION)
    rows = OrganizationExport.objects.for_org(organization_id)
    running: OrganizationExport | None = rows.filter(state=State.RUNNING).first()
    if running is not None:
        return running
    export = OrganizationExport(
        organization_id=organization_id,
        requested_by=actor.label[:254],
        created_at=clock.now(),
        updated_at=clock.now(),
        tables_total=len(exported_models()),
    )
    export.save(force_insert=True)
    record(actor, EXPORT_ORGANIZATION.name, export)
    wake(EXPORT_TASK, actor)
    return export


def continue_export(actor: Actor) -> bool:
    """Writes what fits into a few seconds of the running export; answers whether more is to do."""
    require(actor, EXPORT_ORGANIZATION)
    rows = OrganizationExport.objects.for_org(actor.organization_id)
    export: OrganizationExport | None = (
        rows.select_for_update(skip_locked=True).filter(state=State.RUNNING).first()
    )
    if export is None:
        return False
    try:
        _write_for_a_turn(export)
    except OSError as error:
        log.error("export_failed", export=str(export.id), error=str(error))
        _end(export, State.FAILED, error="The storage could not be written to.")
    export.updated_at = clock.now()
    export.save()
    if export.state == State.RUNNING:
        wake(EXPORT_TASK, actor)
    return bool(export.state == State.RUNNING)


def remove_old_exports(actor: Actor) -> int:
    """Removes archives after a week, with their files; answers how many."""
    require(actor, EXPORT_ORGANIZATION)
    rows = OrganizationExport.objects.for_org(actor.organization_id)
    old = list(rows.filter(finished_at__lt=clock.now() - KEPT))
    for export in old:
        folder = export_folder(export.organization_id, export.id)
        export.delete()
        after_commit(partial(shutil.rmtree, folder, ignore_errors=True))
    return len(old)


def exported_models() -> list[type[OrgOwnedModel]]:
    """Every tenant table but the exports themselves, in a stable order."""
    found = [
        model
        for model in apps.get_models()
        if issubclass(model, OrgOwnedModel) and model is not OrganizationExport
    ]
    return sorted(found, key=lambda model: model._meta.db_table)


def exported_row(row: Model) -> dict[str, Any]:
    """A row as the archive holds it: no secrets, no digests of credentials."""
    hidden = getattr(row, "visible_by", {}).keys() - {"user_id"}
    return {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if field.attname not in hidden and not any(word in field.name for word in LEFT_OUT)
    }


def _write_for_a_turn(export: OrganizationExport) -> None:
    ends_at = time.monotonic() + TURN_SECONDS
    models = exported_models()
    while export.tables_done < len(models):
        _write_piece(export, models[export.tables_done])
        if time.monotonic() > ends_at:
            return
    _put_together(export)


def _write_piece(export: OrganizationExport, model: type[OrgOwnedModel]) -> None:
    """The next rows of the table; where there are none the table is done."""
    export.table = model._meta.db_table
    rows = model.objects.for_org(export.organization_id).order_by("pk")
    if export.last_id is not None:
        rows = rows.filter(pk__gt=export.last_id)
    batch = list(rows[:BATCH_ROWS])
    if batch:
        name = f"{export.table}.{sum(p['table'] == export.table for p in export.parts):05}"
        _write_lines(_folder(export) / name, (exported_row(row) for row in batch))
        export.parts.append({"table": export.table, "name": name, "rows": len(batch)})
        export.last_id = batch[-1].pk
        export.row_count += len(batch)
    if len(batch) < BATCH_ROWS:
        export.tables_done += 1
        export.last_id = None


def _put_together(export: OrganizationExport) -> None:
    folder, target = _folder(export), export_file(export.organization_id, export.id)
    unfinished = target.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.writestr("organization.json", _json(_organization(export)))
        archive.writestr("people.jsonl", b"".join(_json(p) + b"\n" for p in _people(export)))
        tables = [_add_table(archive, folder, export, m._meta.db_table) for m in exported_models()]
        archive.writestr("manifest.json", _json(_manifest(export, tables)))
    unfinished.replace(target)
    export.size_bytes = target.stat().st_size
    with target.open("rb") as file:
        export.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    for part in export.parts:
        (folder / part["name"]).unlink(missing_ok=True)
    _end(export, State.DONE)


def _add_table(
    archive: zipfile.ZipFile, folder: Path, export: OrganizationExport, table: str
) -> dict[str, Any]:
    """One member per table: its pieces one after the other are one gzip stream."""
    parts = [part for part in export.parts if part["table"] == table]
    name = f"tables/{table}.jsonl.gz"
    digest = hashlib.sha256()
    with archive.open(name, "w", force_zip64=True) as member:
        for part in parts:
            content = (folder / part["name"]).read_bytes()
            digest.update(content)
            member.write(content)
        if not parts:
            member.write(empty := gzip.compress(b"", mtime=0))
            digest.update(empty)
    rows = sum(part["rows"] for part in parts)
    return {"table": table, "file": name, "rows": rows, "sha256": digest.hexdigest()}


def _write_lines(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    content = gzip.compress(b"".join(_json(row) + b"\n" for row in rows), compresslevel=6, mtime=0)
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _folder(export: OrganizationExport) -> Path:
    folder = export_folder(export.organization_id, export.id)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _end(export: OrganizationExport, state: State, *, error: str = "") -> None:
    export.state, export.error = state, error
    export.finished_at, export.table = clock.now(), ""
    export.last_id, export.parts = None, []


def _organization(export: OrganizationExport) -> dict[str, Any]:
    organization = Organization.objects.get(id=export.organization_id)
    return {**exported_row(organization), "settings": values(organization)}


def _people(export: OrganizationExport) -> list[dict[str, Any]]:
    """Who the ids of people in the tables are: those who belong to the organization now."""
    members = Membership.objects.for_org(export.organization_id).values("user_id")
    people = User.objects.filter(id__in=members).order_by("id")
    return [{"id": p.id, "email": p.email, "name": p.name, "kind": p.kind} for p in people]


def _manifest(export: OrganizationExport, tables: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "organization_id": export.organization_id,
        "begun_at": export.created_at,
        "finished_at": clock.now(),
        "rows": export.row_count,
        "tables": tables,
    }


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=_plain)


def _plain(value: Any) -> str:
    """What JSON has no word for."""
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value)
