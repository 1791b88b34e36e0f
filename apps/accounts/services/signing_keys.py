"""The keys that sign access tokens: made, rotated, published, and known to each process.

A key is published as `next` before it signs, signs as `active`, and stays published as `retired`
until the last token that it signed has ended. So nobody who follows the published set is surprised.
"""

import base64
import time
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.db import connection, transaction

from apps.accounts.domain import jwt
from apps.accounts.errors import KeyTooFresh
from apps.accounts.models import SigningKey
from apps.core import clock
from apps.core.ids import uuid7
from apps.core.sealing import seal, unseal

log = structlog.get_logger(__name__)

PURPOSE = "accounts.signing_key"
ROTATE_EVERY = timedelta(days=30)
JWKS_MAX_AGE = timedelta(minutes=5)
PUBLISHED_AHEAD = 2 * JWKS_MAX_AGE
KNOWN_SECONDS = 60.0
"""How long a process goes on with the keys that it has read, and so signs with the one before."""
RELOAD_SECONDS = 3.0
"""How often at most a token with an unknown key id makes a process read the keys again."""
KEPT_AFTER = jwt.LIFETIME + timedelta(seconds=KNOWN_SECONDS + jwt.LEEWAY_SECONDS, minutes=5)
_LOCK = 0x666C6431  # any number that nothing else locks


def rotate_signing_keys(*, at_once: bool = False) -> SigningKey:
    """The next key begins to sign, the present one retires, and a new next one is published.

    The answer is the key that signs now. Raises `KeyTooFresh` while the next key is younger than
    ten minutes; `at_once` rotates all the same, for a key that has leaked: our own processes look
    an unknown key up, and verifiers elsewhere fail until they read the set again.
    """
    at = clock.now()
    with transaction.atomic():
        _lock()
        following = SigningKey.objects.filter(state=SigningKey.State.NEXT).first()
        if following is None:
            following = _new_key()
        elif not at_once and following.created_at > at - PUBLISHED_AHEAD:
            raise KeyTooFresh
        SigningKey.objects.filter(state=SigningKey.State.ACTIVE).update(
            state=SigningKey.State.RETIRED, retired_at=at
        )
        following.state, following.activated_at = SigningKey.State.ACTIVE, at
        following.save(update_fields=["state", "activated_at"])
        _new_key()
        if at_once:
            SigningKey.objects.filter(state=SigningKey.State.RETIRED).delete()
    RING.forget()
    log.info("signing_key_rotated", kid=following.kid, at_once=at_once)
    return following


def maintain_signing_keys() -> None:
    """Rotates once the active key is thirty days old and deletes those nothing needs any more."""
    at = clock.now()
    retired = SigningKey.objects.filter(state=SigningKey.State.RETIRED)
    retired.filter(retired_at__lt=at - KEPT_AFTER).delete()
    active = SigningKey.objects.filter(state=SigningKey.State.ACTIVE).first()
    if active is None:
        ensure_signing_keys()
    elif active.activated_at and active.activated_at <= at - ROTATE_EVERY:
        rotate_signing_keys()


def ensure_signing_keys() -> None:
    """Makes the first two keys of an installation: one that signs and the one after it."""
    with transaction.atomic():
        _lock()
        if not SigningKey.objects.filter(state=SigningKey.State.ACTIVE).exists():
            at = clock.now()
            SigningKey.objects.filter(state=SigningKey.State.NEXT).delete()
            first = _new_key()
            first.state, first.activated_at = SigningKey.State.ACTIVE, at
            first.save(update_fields=["state", "activated_at"])
            _new_key()


def published_keys() -> dict[str, Any]:
    """The public keys as a JSON Web Key Set (RFC 7517, RFC 8037)."""
    rows = list(SigningKey.objects.order_by("kid"))
    if not rows:
        ensure_signing_keys()
        rows = list(SigningKey.objects.order_by("kid"))
    return {"keys": [_jwk(row) for row in rows]}


@dataclass(frozen=True, slots=True)
class _Known:
    """The keys as a process last read them; the sealed half of the one that signs."""

    public: dict[str, Ed25519PublicKey]
    signing: jwt.SigningPair | None
    read_at: float


class KeyRing:
    """The keys as this process knows them.

    A token with an unknown key id makes it read them again, every three seconds at most, so that a
    flood of made-up ids costs nothing.
    """

    def __init__(self) -> None:
        self._known = _Known({}, None, float("-inf"))
        self._lock = Lock()

    def sign(self, claims: jwt.Claims) -> str:
        """An access token."""
        pair = self._fresh().signing
        if pair is None:
            ensure_signing_keys()
            pair = self._read(older_than=0).signing
        if pair is None:
            raise RuntimeError("there is no signing key")
        return jwt.sign(claims, pair, issuer=settings.EXTERNAL_URL)

    def verify(self, token: str) -> jwt.Claims:
        """What a token says. Raises `jwt.TokenRefused`."""
        try:
            return self._verify(token, self._fresh())
        except jwt.UnknownKey:
            return self._verify(token, self._read(older_than=RELOAD_SECONDS))

    def forget(self) -> None:
        """Makes the next use read the keys."""
        self._known = _Known({}, None, float("-inf"))

    def _verify(self, token: str, known: _Known) -> jwt.Claims:
        return jwt.verify(token, known.public, clock.now(), issuer=settings.EXTERNAL_URL)

    def _fresh(self) -> _Known:
        return self._read(older_than=KNOWN_SECONDS)

    def _read(self, *, older_than: float) -> _Known:
        """What is known, read again where that was `older_than` seconds ago or more."""
        if time.monotonic() - self._known.read_at < older_than:
            return self._known
        with self._lock:
            if time.monotonic() - self._known.read_at >= older_than:
                rows = list(SigningKey.objects.all())
                self._known = _Known(
                    {row.kid: _public(row) for row in rows}, _signing(rows), time.monotonic()
                )
        return self._known


RING = KeyRing()


def _new_key() -> SigningKey:
    private = Ed25519PrivateKey.generate()
    row = SigningKey(
        kid=uuid7().hex,
        public_key=_encoded(private.public_key().public_bytes_raw()),
        sealed_private_key=seal(private.private_bytes_raw(), purpose=PURPOSE),
        state=SigningKey.State.NEXT,
        created_at=clock.now(),
    )
    row.save(force_insert=True)
    return row


def _signing(rows: list[SigningKey]) -> jwt.SigningPair | None:
    active = next((row for row in rows if row.state == SigningKey.State.ACTIVE), None)
    if active is None:
        return None
    raw = unseal(active.sealed_private_key, purpose=PURPOSE)
    return jwt.SigningPair(active.kid, Ed25519PrivateKey.from_private_bytes(raw))


def _public(row: SigningKey) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(row.public_key + "="))


def _jwk(row: SigningKey) -> dict[str, str]:
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "alg": jwt.ALGORITHM,
        "kid": row.kid,
        "x": row.public_key,
    }


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _lock() -> None:
    """One at a time makes or rotates keys, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
