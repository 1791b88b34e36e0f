"""Signatures of artifact links."""

import hashlib
import hmac
from datetime import datetime
from uuid import UUID


def sign_link(
    key: bytes, organization_id: UUID | str, deployment_id: UUID | str, sha256: str, expires: int
) -> str:
    """HMAC-SHA256, 64 hex digits, over everything that a link stands for.

    `expires` is in Unix seconds. Fields have fixed forms without line feeds, so no two links sign
    the same text.
    """
    text = f"artifact-link/1\n{organization_id}\n{deployment_id}\n{sha256}\n{expires}"
    return hmac.digest(key, text.encode(), hashlib.sha256).hex()


def is_signed(signature: str, expected: str) -> bool:
    """Whether the signatures are the same, in time that does not depend on where they differ."""
    return hmac.compare_digest(signature.encode(), expected.encode())


def is_expired(expires: int, now: datetime) -> bool:
    """Whether a link's time is up."""
    return now.timestamp() >= expires
