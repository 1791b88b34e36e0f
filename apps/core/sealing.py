"""Secrets at rest: encrypted with a key that is not in the database, and that can be changed.

A sealed text is `v1.<key id>.<base64>`: AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce
before the ciphertext. What it is for, and the key's id, are authenticated with it, so a sealed text
cannot be moved to another column. The first of the installation's keys seals, all of them open.

Apps add their columns with `sealed_column` in `ready()`; `manage.py reseal_secrets` then seals them
again with the first key.
"""

import base64
import binascii
import os
import re
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

VERSION = "v1"
NONCE_BYTES = 12
_SEALED = re.compile(r"v1\.([A-Za-z0-9_-]{1,32})\.([A-Za-z0-9_-]+)", re.ASCII)


class CannotUnseal(Exception):
    """A sealed text was made for something else, with a key that is gone, or has been changed."""


class NoSealingKey(Exception):
    """The installation has no key to seal secrets with."""


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column that holds sealed texts; `member` names the one inside a JSON object."""

    model: str
    field: str
    purpose: str
    member: str = ""


_COLUMNS: list[SealedColumn] = []


def sealed_column(model: str, field: str, *, purpose: str, member: str = "") -> None:
    """Registers a column of `model` ("app.Model"), so that a change of keys reaches it."""
    column = SealedColumn(model, field, purpose, member)
    if column not in _COLUMNS:
        _COLUMNS.append(column)


def sealed_columns() -> tuple[SealedColumn, ...]:
    """Everything that is registered."""
    return tuple(_COLUMNS)


def seal(plaintext: bytes, *, purpose: str) -> str:
    """The plaintext, sealed with the first key. Two calls never give the same text."""
    key = _first_key()
    nonce = os.urandom(NONCE_BYTES)
    ciphertext = AESGCM(key.secret).encrypt(nonce, plaintext, _context(purpose, key.id))
    encoded = base64.urlsafe_b64encode(nonce + ciphertext).rstrip(b"=").decode()
    return f"{VERSION}.{key.id}.{encoded}"


def unseal(text: str, *, purpose: str) -> bytes:
    """What was sealed for the same purpose. Raises `CannotUnseal`."""
    found = _SEALED.fullmatch(text)
    if found is None:
        raise CannotUnseal("this is no sealed text")
    key = settings.ENCRYPTION_KEYS.find(found[1])
    if key is None:
        raise CannotUnseal(f"the key {found[1]} is not among FLEETD_ENCRYPTION_KEYS")
    try:
        raw = base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4))
        nonce, ciphertext = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
        return AESGCM(key.secret).decrypt(nonce, ciphertext, _context(purpose, key.id))
    except (InvalidTag, ValueError, binascii.Error):
        raise CannotUnseal(f"not sealed for {purpose}, or changed since") from None


def is_sealed(text: str) -> bool:
    """Whether a text has the form of a sealed one."""
    return _SEALED.fullmatch(text) is not None


def is_current(text: str) -> bool:
    """Whether a text is sealed with the key that seals now."""
    return text.startswith(current_prefix())


def current_prefix() -> str:
    """How texts begin that are sealed with the key that seals now."""
    return f"{VERSION}.{_first_key().id}."


def _first_key() -> Any:
    keys = settings.ENCRYPTION_KEYS.keys()
    if not keys:
        raise NoSealingKey("FLEETD_ENCRYPTION_KEYS is missing")
    return keys[0]


def _context(purpose: str, key_id: str) -> bytes:
    return f"fleetd:{VERSION}:{key_id}:{purpose}".encode()
