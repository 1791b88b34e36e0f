"""Where an invitation stands."""

from datetime import datetime
from typing import Protocol

INVITATION = "inv"
"""The kind of an invitation's secret."""

PENDING, ACCEPTED, EXPIRED, REVOKED = "pending", "accepted", "expired", "revoked"


class HasDates(Protocol):
    """What the state follows from."""

    accepted_at: datetime | None
    revoked_at: datetime | None
    expires_at: datetime


def state_of(invitation: HasDates, now: datetime) -> str:
    """pending, accepted, expired or revoked."""
    if invitation.accepted_at is not None:
        return ACCEPTED
    if invitation.revoked_at is not None:
        return REVOKED
    return EXPIRED if invitation.expires_at <= now else PENDING
