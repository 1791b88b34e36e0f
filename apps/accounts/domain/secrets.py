"""Secrets that we hand out: `fld_<kind>_<32 base62 characters>_<6 base62 characters of CRC-32>`.

The prefix and checksum let scanners find leaks and refuse a mistyped secret without a query; the
32 characters carry 190 random bits. Only the SHA-256 of the whole text is stored.
"""

import hashlib
import re
import secrets
import string
import zlib

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_LENGTH = 32
CHECKSUM_LENGTH = 6
PREFIX_SHOWN = 6

API_KEY = "pat"
ENROLLMENT_TOKEN = "enr"  # noqa: S105 - a kind, not a secret
SERVICE_TOKEN = "svc"  # noqa: S105 - a kind, not a secret

_FORM = re.compile(r"fld_([a-z]{3})_([0-9A-Za-z]{32})_([0-9A-Za-z]{6})", re.ASCII)


def new_secret(kind: str) -> str:
    """A new secret of this kind."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
    return f"fld_{kind}_{body}_{_checksum(kind, body)}"


def is_well_formed(text: str, kind: str) -> bool:
    """Whether `text` could be a secret of this kind: form and checksum fit."""
    match = _FORM.fullmatch(text)
    return bool(match and match[1] == kind and match[3] == _checksum(kind, match[2]))


def secret_hash(text: str) -> str:
    """What is stored of a secret: SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def shown_prefix(text: str) -> str:
    """The part that may be shown again, to tell secrets apart."""
    return text[: len("fld_pat_") + PREFIX_SHOWN]


def _checksum(kind: str, body: str) -> str:
    number = zlib.crc32(f"{kind}_{body}".encode())
    digits = ""
    for _ in range(CHECKSUM_LENGTH):
        number, rest = divmod(number, len(ALPHABET))
        digits = ALPHABET[rest] + digits
    return digits
