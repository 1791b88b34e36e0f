"""S16: given a JWT, when alg=none, HS256 with the public key, wrong kid, foreign key via
jku/x5u/jwk, refresh token or ID token used as access token, wrong aud/iss, expired or not yet
valid by more than the leeway (30 s), then it is refused (401 at the doors).
"""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.domain import jwt

ISSUER = "https://fleet.example"
PRIVATE = Ed25519PrivateKey.generate()
KEYS = {"k1": PRIVATE.public_key()}
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PAIR = jwt.SigningPair("k1", PRIVATE)


def claims(**changes: Any) -> jwt.Claims:
    values = {
        "subject": uuid4(),
        "session": uuid4(),
        "version": 3,
        "organization": uuid4(),
        "methods": frozenset({"password", "totp"}),
        "authenticated_at": NOW,
        "now": NOW,
    }
    return jwt.new_claims(**{**values, **changes})


def body(**changes: Any) -> dict[str, Any]:
    """The claims of a good token, changed; None takes one away."""
    good = pyjwt.decode(
        jwt.sign(claims(), PAIR, issuer=ISSUER), options={"verify_signature": False}
    )
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def encoded(claims: dict[str, Any], key: Any = PRIVATE, alg: str = "EdDSA", **header: Any) -> str:
    headers = {"typ": "at+jwt", "kid": "k1", **header}
    return pyjwt.encode(claims, key, alg, headers=headers)


def part(data: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def refused(token: str, now: datetime = NOW) -> None:
    with pytest.raises(jwt.TokenRefused):
        jwt.verify(token, KEYS, now, issuer=ISSUER)


def test_s16_a_good_token_says_what_was_signed() -> None:
    for made in (claims(), claims(organization=None)):
        token = jwt.sign(made, PAIR, issuer=ISSUER)
        assert jwt.verify(token, KEYS, NOW, issuer=ISSUER) == made


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", ""])
def test_s16_no_algorithm_is_refused(alg: str) -> None:
    header = {"alg": alg, "typ": "at+jwt", "kid": "k1"}
    for signature in ("", "AAAA"):
        refused(f"{part(header)}.{part(body())}.{signature}")


def test_s16_the_public_key_is_no_shared_secret() -> None:
    public = KEYS["k1"]
    forms = [
        public.public_bytes_raw(),
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    ]
    for secret in forms:
        for alg, hashed in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
            signed = f"{part({'alg': alg, 'typ': 'at+jwt', 'kid': 'k1'})}.{part(body())}"
            mac = hmac.new(secret, signed.encode(), hashed).digest()
            refused(f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")


def test_s16_a_key_that_we_do_not_know_is_refused_as_such() -> None:
    for kid in ("k2", "", "../k1", "k1\x00"):
        with pytest.raises(jwt.UnknownKey):
            jwt.verify(encoded(body(), kid=kid), KEYS, NOW, issuer=ISSUER)
    stranger = Ed25519PrivateKey.generate()
    refused(encoded(body(), stranger))


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "crit", "b64", "zip", "cty", "epk"])
def test_s16_a_header_that_brings_something_along_is_refused(name: str) -> None:
    stranger = Ed25519PrivateKey.generate()
    raw = stranger.public_key().public_bytes_raw()
    key = {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).decode()}
    brought = key if name == "jwk" else "https://evil.example/keys"
    for signer in (stranger, PRIVATE):
        header = {"alg": "EdDSA", "typ": "at+jwt", "kid": "k1", name: brought}
        signed = f"{part(header)}.{part(body())}"
        signature = base64.urlsafe_b64encode(signer.sign(signed.encode())).rstrip(b"=").decode()
        refused(f"{signed}.{signature}")


@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", "id+jwt", "rt+jwt", "AT+JWT", "application/at+jwt", None]
)
def test_s16_a_token_of_another_type_is_refused(typ: str | None) -> None:
    refused(encoded(body(), typ=typ))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "other"},
        {"aud": None},
        {"aud": ["fleetd", "other"]},
        {"iss": "https://evil.example"},
        {"iss": f"{ISSUER}/"},
        {"iss": None},
        {"sub": None},
        {"sub": "alice"},
        {"sub": 7},
        {"sid": None},
        {"sid": ["x"]},
        {"ver": None},
        {"ver": "3"},
        {"ver": True},
        {"ver": 3.0},
        {"org": "acme"},
        {"org": 7},
        {"amr": None},
        {"amr": "password"},
        {"amr": [1]},
        {"exp": None},
        {"exp": "never"},
        {"exp": 1e18},
        {"iat": None},
        {"nbf": None},
        {"auth_time": None},
    ],
)
def test_s16_claims_that_are_not_ours_are_refused(changes: dict[str, Any]) -> None:
    refused(encoded(body(**changes)))


def test_s16_time_is_kept_within_thirty_seconds() -> None:
    token = jwt.sign(claims(), PAIR, issuer=ISSUER)
    end = NOW + jwt.LIFETIME
    for good in (NOW - timedelta(seconds=30), end + timedelta(seconds=29)):
        jwt.verify(token, KEYS, good, issuer=ISSUER)
    for bad in (NOW - timedelta(seconds=31), end + timedelta(seconds=30)):
        refused(token, bad)
    assert jwt.LEEWAY_SECONDS <= 30
    late = int(NOW.timestamp()) + 31
    refused(encoded(body(nbf=late)))
    refused(encoded(body(iat=late)))


@given(st.text(max_size=300) | st.binary(max_size=200).map(lambda b: f"eyJ{b!r}.a.b"))
def test_s16_nonsense_is_refused_and_nothing_else_happens(text: str) -> None:
    refused(text)


@given(st.data())
def test_s16_any_changed_character_is_noticed(data: st.DataObject) -> None:
    token = jwt.sign(claims(), PAIR, issuer=ISSUER)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCDEFGHabcdefgh0123456789-_."))
    changed = token[:place] + other + token[place + 1 :]
    try:
        found = jwt.verify(changed, KEYS, NOW, issuer=ISSUER)
    except jwt.TokenRefused:
        return
    # The last character of a part holds bits that base64 does not use.
    assert found == jwt.verify(token, KEYS, NOW, issuer=ISSUER)
