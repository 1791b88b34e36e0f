"""Secrets that we hand out: `fld_<kind>_<base62 characters>_<6 base62 characters of CRC-32>`.

The prefix and checksum let scanners find leaks and refuse a mistyped secret without a query. 32
characters carry 190 random bits; those of refresh tokens and device codes are 43 and carry 256.
Only the SHA-256 of the whole text is stored.
"""

import hashlib
import re
import secrets
import string
import zlib

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_LENGTH = 32
LONG_LENGTH = 43  # 62 ** 43 > 2 ** 256
CHECKSUM_LENGTH = 6
PREFIX_SHOWN = 6

API_KEY = "pat"
ENROLLMENT_TOKEN = "enr"  # noqa: S105 - a kind, not a secret
SERVICE_TOKEN = "svc"  # noqa: S105 - a kind, not a secret
REFRESH_TOKEN = "ref"  # noqa: S105 - a kind, not a secret
DEVICE_CODE = "dvc"
_LENGTHS = {REFRESH_TOKEN: LONG_LENGTH, DEVICE_CODE: LONG_LENGTH}

_FORM = re.compile(r"fld_([a-z]{3})_([0-9A-Za-z]{32,43})_([0-9A-Za-z]{6})", re.ASCII)


def new_secret(kind: str) -> str:
    """A new secret of this kind."""
    length = _LENGTHS.get(kind, RANDOM_LENGTH)
    return _secret(kind, "".join(secrets.choice(ALPHABET) for _ in range(length)))


def secret_from(kind: str, entropy: bytes) -> str:
    """The secret of a long kind that 32 random bytes stand for: the same ones give it again."""
    if len(entropy) != 32 or kind not in _LENGTHS:
        raise ValueError("32 bytes make a secret of a long kind")
    return _secret(kind, _base62(int.from_bytes(entropy), LONG_LENGTH))


def is_well_formed(text: str, kind: str) -> bool:
    """Whether `text` could be a secret of this kind: form and checksum fit."""
    match = _FORM.fullmatch(text)
    if match is None or match[1] != kind or len(match[2]) != _LENGTHS.get(kind, RANDOM_LENGTH):
        return False
    return match[3] == _checksum(kind, match[2])


def secret_hash(text: str) -> str:
    """What is stored of a secret: SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def shown_prefix(text: str) -> str:
    """The part that may be shown again, to tell secrets apart."""
    return text[: len("fld_pat_") + PREFIX_SHOWN]


def _secret(kind: str, body: str) -> str:
    return f"fld_{kind}_{body}_{_checksum(kind, body)}"


def _checksum(kind: str, body: str) -> str:
    return _base62(zlib.crc32(f"{kind}_{body}".encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, rest = divmod(number, len(ALPHABET))
        digits = ALPHABET[rest] + digits
    return digits
