"""Access tokens: EdDSA JSON Web Tokens (RFC 7519, RFC 8037, RFC 9068) that live ten minutes.

The verifier is narrow on purpose: one algorithm, one type, one audience, one issuer, keys only from
our own set by `kid`, and no header that could bring a key of its own.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
AUDIENCE = "fleetd"
LIFETIME = timedelta(minutes=10)
LEEWAY_SECONDS = 30
MAX_LENGTH = 4096
_HEADER = frozenset({"alg", "typ", "kid"})
# The one algorithm that there is: what a header says about it is compared and never looked up.
_ED25519 = OKPAlgorithm()
_TIMES = ("iat", "nbf", "exp", "auth_time")


class TokenRefused(Exception):
    """The token is not one that we would accept; why stays between us and the log."""


class UnknownKey(TokenRefused):
    """The token names a signing key that this process does not know: it may be a new one."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says.

    `version` is the person's access version, `session` the refresh family, `organization` is set
    where the token is bound to one. Times are Unix seconds.
    """

    subject: UUID
    session: UUID
    version: int
    organization: UUID | None
    methods: frozenset[str]
    authenticated_at: int
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class SigningPair:
    """The private half of a key with its name."""

    kid: str
    private: Ed25519PrivateKey


def new_claims(
    *,
    subject: UUID,
    session: UUID,
    version: int,
    organization: UUID | None,
    methods: frozenset[str],
    authenticated_at: datetime,
    now: datetime,
) -> Claims:
    """Claims of a token that begins now."""
    issued_at = int(now.timestamp())
    return Claims(
        subject=subject,
        session=session,
        version=version,
        organization=organization,
        methods=methods,
        authenticated_at=int(authenticated_at.timestamp()),
        issued_at=issued_at,
        expires_at=issued_at + int(LIFETIME.total_seconds()),
    )


def sign(claims: Claims, key: SigningPair, *, issuer: str) -> str:
    """The token for these claims."""
    body: dict[str, Any] = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": str(claims.subject),
        "sid": str(claims.session),
        "ver": claims.version,
        "amr": sorted(claims.methods),
        "auth_time": claims.authenticated_at,
        "iat": claims.issued_at,
        "nbf": claims.issued_at,
        "exp": claims.expires_at,
        "jti": uuid4().hex,
    }
    if claims.organization is not None:
        body["org"] = str(claims.organization)
    return jwt.encode(body, key.private, ALGORITHM, headers={"typ": TYPE, "kid": key.kid})


def looks_like(token: str) -> bool:
    """Whether a credential could be an access token: three parts, the first a JSON object."""
    return token.startswith("eyJ") and token.count(".") == 2


def verify(
    token: str, keys: Mapping[str, Ed25519PublicKey], now: datetime, *, issuer: str
) -> Claims:
    """What a token says, if one of `keys` signed it and it is good now.

    Raises `UnknownKey` where its key is not among them, else `TokenRefused`.
    """
    if len(token) > MAX_LENGTH or not token.isascii():
        raise TokenRefused("form")
    key = keys.get(_key_id(token.partition(".")[0]))
    if key is None:
        raise UnknownKey("kid")
    signed, _, signature = token.rpartition(".")
    try:
        if not _ED25519.verify(signed.encode(), key, _decoded(signature)):
            raise TokenRefused("signature")
        body = json.loads(_decoded(signed.partition(".")[2]))
    except (ValueError, RecursionError) as error:
        raise TokenRefused("form") from error
    return _claims(body, now.timestamp(), issuer)


@lru_cache(maxsize=64)
def _key_id(segment: str) -> str:
    """The `kid` of an encoded header that holds exactly what ours hold.

    All tokens of one key begin with the same header, so it is read once. Refusals are not kept.
    """
    try:
        header = json.loads(_decoded(segment))
    except (ValueError, RecursionError) as error:
        raise TokenRefused("header") from error
    if not isinstance(header, dict) or header.keys() != _HEADER:
        raise TokenRefused("header")
    kid = header["kid"]
    if header["alg"] != ALGORITHM or header["typ"] != TYPE or not isinstance(kid, str):
        raise TokenRefused("header")
    return kid


def _decoded(segment: str) -> bytes:
    """Base64url without padding (RFC 7515, appendix C)."""
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _claims(body: object, now: float, issuer: str) -> Claims:
    if not isinstance(body, dict) or body.get("iss") != issuer or body.get("aud") != AUDIENCE:
        raise TokenRefused("audience")
    if any(type(body.get(name)) is not int for name in (*_TIMES, "ver")):
        raise TokenRefused("claims")
    if body["exp"] + LEEWAY_SECONDS <= now:
        raise TokenRefused("expired")
    if max(body["nbf"], body["iat"]) - LEEWAY_SECONDS > now:
        raise TokenRefused("early")
    methods = body.get("amr")
    if not isinstance(methods, list) or not all(isinstance(each, str) for each in methods):
        raise TokenRefused("claims")
    organization = body.get("org")
    return Claims(
        subject=_uuid(body.get("sub")),
        session=_uuid(body.get("sid")),
        version=body["ver"],
        organization=None if organization is None else _uuid(organization),
        methods=frozenset(methods),
        authenticated_at=body["auth_time"],
        issued_at=body["iat"],
        expires_at=body["exp"],
    )


def _uuid(value: object) -> UUID:
    if not isinstance(value, str):
        raise TokenRefused("claims")
    try:
        return UUID(value)
    except ValueError as error:
        raise TokenRefused("claims") from error
