"""Identifiers: UUID version 7 (RFC 9562, section 5.7), so that keys sort by creation time."""

import secrets
import time
from threading import Lock
from uuid import UUID

STEP_BACK_MILLISECONDS = 10_000

_lock = Lock()
_last = 0


def uuid7() -> UUID:
    """A new UUIDv7: 48 bits of Unix milliseconds, a counter of 12 bits, 62 random bits.

    Within a process each is larger than the one before, also within one millisecond and where the
    clock goes back a little: what was written in order reads back in order. A clock that was wrong
    by more than ten seconds and is put right is followed.
    """
    moment = _next_moment()
    value = (moment >> 12) << 80 | 0x7 << 76 | (moment & 0xFFF) << 64
    return UUID(int=value | 0x2 << 62 | secrets.randbits(62))


def _next_moment() -> int:
    """Milliseconds and counter as one number that only grows. Half the counter starts random."""
    global _last
    present = (time.time_ns() // 1_000_000) << 12 | secrets.randbits(11)
    with _lock:
        is_put_right = _last - present > STEP_BACK_MILLISECONDS << 12
        _last = present if is_put_right else max(present, _last + 1)
        return _last


def parse_uuid(text: object) -> UUID | None:
    """`text` as a UUID, or None where it is none. Ids from outside go through here."""
    if isinstance(text, UUID):
        return text
    try:
        return UUID(str(text))
    except ValueError:
        return None
