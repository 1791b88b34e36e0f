"""Keeping secrets and forged lines out of the audit trail and the logs (security bar S70).

A value is masked for the name that it stands under, or because it looks like a secret wherever it
stands. Text that is shown on one line is made one printable line.
"""

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
MAX_DEPTH = 12
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Parts of a name that speak of a secret wherever they stand in it.
_ANYWHERE = ("password", "passwd", "passphrase", "secret", "token", "credential", "privatekey")
# Words that do so on their own only: "key" does, "monkey" does not.
_WORDS = frozenset(
    {"otp", "totp", "pin", "passcode", "pwd", "jwt", "key", "apikey", "authorization", "cookie"}
)
_PAIRS = frozenset(
    {
        *(("private", k) for k in ("key", "keys")),
        *(("api", k) for k in ("key", "keys")),
        *(("signing", "key"), ("encryption", "key"), ("session", "key"), ("access", "key")),
        *((w, c) for w in ("recovery", "backup") for c in ("code", "codes")),
    }
)
# What describes a secret and is none: the last word of the name.
_DESCRIBES = frozenset(
    "id ids at name names prefix length count days hours minutes seconds uses type kind method "
    "methods used".split()
)
# Secrets that are numbers.
_NUMBERS = frozenset({"otp", "totp", "pin", "passcode", "password", "code"})
_SPLIT = re.compile(r"[^a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_LOOKS = re.compile(
    r"fld_[a-z]{2,8}_[0-9A-Za-z]{12,}(?:_[0-9A-Za-z]+)*"
    r"|whsec_[0-9A-Za-z+/=_-]{12,}"
    r"|eyJ[0-9A-Za-z_-]{6,}\.[0-9A-Za-z_-]{2,}(?:\.[0-9A-Za-z_-]*)*"
    r"|-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"
    r"|otpauth://\S+"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"
    r"|(?i:(?<=bearer )|(?<=basic ))[0-9A-Za-z._~+/=-]{12,}",
    re.DOTALL,
)


def scrubbed(text: str) -> str:
    """The text with everything masked that looks like a secret: keys, tokens, private keys."""
    return _LOOKS.sub(MASK, text)


def is_secret_name(name: str) -> bool:
    """Whether what stands under this name is a secret, going by the name."""
    return bool(_secret_words(name))


def masked(name: str, value: Any) -> Any:
    """The value as it may be kept under this name."""
    words = _secret_words(name)
    if words and not _is_harmless(value, words):
        return MASK
    return _without_secrets(value)


def masked_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Every field as it may be kept; mappings inside are treated alike."""
    return {scrubbed(str(name)): masked(str(name), value) for name, value in fields.items()}


def one_line(text: str, limit: int | None = None) -> str:
    """One printable line: no newline, escape sequence or change of writing direction is left."""
    line = text if text.isprintable() else "".join(map(_printable, text))
    return line if limit is None else line[:limit]


def _printable(character: str) -> str:
    return character if character.isprintable() else REPLACEMENT


def _without_secrets(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return MASK  # nothing that is kept for people to read is binary
    if depth > MAX_DEPTH:
        return MASK
    if isinstance(value, Mapping):
        return {
            scrubbed(str(n)): MASK
            if (words := _secret_words(str(n))) and not _is_harmless(v, words)
            else _without_secrets(v, depth + 1)
            for n, v in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets(item, depth + 1) for item in value]
    return value


def _is_harmless(value: Any, words: frozenset[str]) -> bool:
    """Whether a value is no secret in spite of its name: a switch, a number of things, nothing."""
    if value is None or isinstance(value, bool) or value in ("", [], {}):
        return True
    return isinstance(value, int | float) and not words & _NUMBERS


def _secret_words(name: str) -> frozenset[str]:
    """The words of a name that speaks of a secret, none for any other name."""
    words = [w for w in _SPLIT.split(_CAMEL.sub("_", name).lower()) if w]
    if not words or words[-1] in _DESCRIBES or "public" in words:
        return frozenset()
    joined = "".join(words)
    pairs = set(zip(words, words[1:], strict=False))
    speaks = any(part in joined for part in _ANYWHERE) or _WORDS & {*words} or pairs & _PAIRS
    return frozenset(words) if speaks else frozenset()
