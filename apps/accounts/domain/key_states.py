"""Where an API key stands."""

from datetime import datetime
from typing import Protocol

USABLE, EXPIRED, REVOKED = "usable", "expired", "revoked"


class HasEnd(Protocol):
    """What the state follows from."""

    revoked_at: datetime | None
    expires_at: datetime


def state_of(key: HasEnd, now: datetime) -> str:
    """usable, expired or revoked."""
    if key.revoked_at is not None:
        return REVOKED
    return EXPIRED if key.expires_at <= now else USABLE
