"""Identifiers: UUID version 7 (RFC 9562, section 5.7), so that keys sort by creation time."""

import secrets
import time
from threading import Lock
from uuid import UUID

_lock = Lock()
_last = 0


def uuid7() -> UUID:
    """A new UUIDv7: 48 bits of Unix milliseconds, a counter of 12 bits, 62 random bits.

    Within a process each is larger than the one before, also within one millisecond and where the
    clock goes back: what was written in order reads back in order.
    """
    moment = _next_moment()
    value = (moment >> 12) << 80 | 0x7 << 76 | (moment & 0xFFF) << 64
    return UUID(int=value | 0x2 << 62 | secrets.randbits(62))


def _next_moment() -> int:
    """Milliseconds and counter as one number that only grows. Half the counter starts random."""
    global _last
    present = (time.time_ns() // 1_000_000) << 12 | secrets.randbits(11)
    with _lock:
        _last = max(present, _last + 1)
        return _last


def parse_uuid(text: object) -> UUID | None:
    """`text` as a UUID, or None where it is none. Ids from outside go through here."""
    if isinstance(text, UUID):
        return text
    try:
        return UUID(str(text))
    except ValueError:
        return None
