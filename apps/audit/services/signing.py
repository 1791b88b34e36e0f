"""The installation's key for checkpoints, as a file beside the other generated secrets.

Mode 0600, made on the first start and never again: a key that vanished from a place named by
FLEETD_AUDIT_KEY_FILE is a reason to stop, not to sign with another one.
"""

import os
import tempfile
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from apps.audit.domain import signing
from apps.audit.errors import SigningKeyMissing


def ensure_signing_key() -> list[str]:
    """Makes the key where there is none. Returns what it did, in words.

    Raises `SigningKeyMissing` where the operator names a file that is not there, ValueError for a
    file that holds no such key.
    """
    path: Path = settings.AUDIT_KEY_FILE
    if path.exists():
        load_signing_key()
        return []
    if settings.AUDIT_KEY_IS_GIVEN:
        raise SigningKeyMissing(f"FLEETD_AUDIT_KEY_FILE names {path}, which is not there.")
    _write_once(path, signing.new_key_pem())
    return [f"made the key of the audit trail, {load_signing_key().key_id}"]


def load_signing_key() -> signing.SigningKey:
    """The key. Raises `SigningKeyMissing` before `ensure_signing_key`."""
    path: Path = settings.AUDIT_KEY_FILE
    try:
        return _read(path, path.stat().st_mtime_ns)
    except FileNotFoundError as error:
        raise SigningKeyMissing from error


@lru_cache(maxsize=4)
def _read(path: Path, _written_at: int) -> signing.SigningKey:
    """Read once per version of the file."""
    return signing.read_key(path.read_bytes())


def _write_once(path: Path, pem: bytes) -> None:
    """Complete or not at all, with its mode from the first moment; the first of several wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass  # another process has made it meanwhile
    finally:
        os.unlink(temporary)
