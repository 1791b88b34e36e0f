"""The second place: each organization's signed checkpoints in a file that is only appended to.

`<directory>/<organization id>.ndjson`, one line per checkpoint, and `keys/<key id>.pem` for every
key that ever signed one. What is there already is read from the file itself, so that a place that
was away gets what it missed with the next sweep.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import structlog
from django.conf import settings

from apps.audit.domain.chain import canonical
from apps.audit.domain.signing import public_pem
from apps.audit.errors import SigningKeyMissing
from apps.audit.models import AuditCheckpoint
from apps.audit.selectors import checkpoint_record
from apps.audit.services.signing import load_signing_key
from apps.core.actors import Actor

log = structlog.get_logger(__name__)

TAIL_BYTES = 64 * 1024


def copy_checkpoints(actor: Actor) -> int:
    """Appends the checkpoints that the second place does not have yet; returns how many.

    Idempotent. Raises OSError where the place is away.
    """
    rows = AuditCheckpoint.objects.for_org(actor.organization_id).order_by("sequence")
    newest = rows.values_list("sequence", flat=True).last()
    if newest is None:
        return 0
    _keep_public_key()
    with _opened(path_of(actor.organization_id)) as file:
        last = _last_sequence(file)
        if last > newest:
            log.error(
                "audit_checkpoints_missing_in_database",
                organization_id=str(actor.organization_id),
                second_place=last,
                database=newest,
            )
        missing = rows.filter(sequence__gt=last)
        lines = [canonical(checkpoint_record(row)) + b"\n" for row in missing]
        if lines:
            _append(file, b"".join(lines))
    return len(lines)


def kept_checkpoints(organization_id: UUID) -> list[dict[str, Any]]:
    """What the second place has of an organization. Raises OSError where it is away."""
    path = path_of(organization_id)
    if not path.exists():
        if not path.parent.is_dir():
            raise FileNotFoundError(2, "the second place is away", str(path.parent))
        return []
    found = [_record(line) for line in path.read_bytes().splitlines()]
    return [record for record in found if record is not None]


def known_key_ids() -> set[str]:
    """The keys that may have signed: today's, and those that the second place remembers."""
    folder = Path(settings.AUDIT_EXPORT_DIR) / "keys"
    known = {path.stem for path in folder.glob("*.pem")} if folder.is_dir() else set()
    try:
        known.add(load_signing_key().key_id)
    except SigningKeyMissing:
        log.warning("audit_key_missing")
    return known


def path_of(organization_id: UUID) -> Path:
    """The organization's file."""
    return Path(settings.AUDIT_EXPORT_DIR) / f"{organization_id}.ndjson"


def _keep_public_key() -> None:
    key = load_signing_key()
    path = Path(settings.AUDIT_EXPORT_DIR) / "keys" / f"{key.key_id}.pem"
    if not path.exists():
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_bytes(public_pem(key))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file for appending, for one process at a time."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _last_sequence(file: BinaryIO) -> int:
    """Where the newest complete line stands; a line that a crash has cut off is none."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL_BYTES))
    for line in reversed(file.read().split(b"\n")):
        record = _record(line)
        if record is not None:
            return int(record["sequence"])
    return 0


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(record, dict) and isinstance(record.get("sequence"), int)
    return record if whole else None


def _append(file: BinaryIO, data: bytes) -> None:
    """Begins a new line even where the last one was cut off; safe on disk before it counts."""
    size = file.seek(0, os.SEEK_END)
    if size:
        file.seek(size - 1)
        if file.read(1) != b"\n":
            data = b"\n" + data
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
