"""Nothing secret enters the audit trail, and no text forges a line (S70)."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.domain.secrets import new_secret
from apps.audit.domain.redaction import MASK, masked, masked_fields, one_line, scrubbed

PEM = (
    Ed25519PrivateKey.generate()
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
SECRETS = {
    "API key": new_secret("pat"),
    "enrollment token": new_secret("enr"),
    "service token": new_secret("svc"),
    "refresh token": new_secret("rft"),
    "webhook secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "JWT": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "private key": PEM,
    "cut private key": PEM[:60],
    "authenticator": "otpauth://totp/fleetd:a@b.c?secret=JBSWY3DPEHPK3PXP",
    "database URL": "hunter2-is-long",
}


@pytest.mark.parametrize(
    "name",
    [
        "password", "new_password", "newPassword", "client_secret", "webhook.secret", "token",
        "refresh_token", "accessToken", "otp", "totp", "key", "private_key", "api_key", "apiKey",
        "recovery_codes", "credentials", "Authorization", "cookie", "secret_hash",
    ],
)  # fmt: skip
def test_values_are_masked_for_their_names(name: str) -> None:
    assert masked(name, "plain") == MASK
    assert masked(name, ["old", "new"]) == MASK
    assert masked_fields({"outer": {"list": [{name: "plain"}]}}) == {
        "outer": {"list": [{name: MASK}]}
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("security.password_min_length", [12, 14]), ("api_key_id", "x"), ("quotas.api_keys", 5),
        ("public_key", "x"), ("monkey", "x"), ("token_name", "lab"), ("require_password", True),
        ("keyboard", "x"), ("token", None),
    ],
)  # fmt: skip
def test_what_only_describes_a_secret_is_kept(name: str, value: Any) -> None:
    assert masked(name, value) == value


def test_numbers_that_are_secrets_are_masked() -> None:
    assert masked_fields({"otp": 123456, "pin": 1}) == {"otp": MASK, "pin": MASK}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_masked_wherever_it_stands(kind: str) -> None:
    secret = SECRETS[kind]
    text = f"postgres://u:{secret}@db/x" if kind == "database URL" else f"it is {secret} here"
    kept = json.dumps(masked_fields({"note": [text, {"deep": (text,)}], text: 1}))
    for part in (secret, *secret.splitlines()[1:2]):
        assert part not in kept
    assert secret not in scrubbed(text)


def test_ordinary_text_is_kept() -> None:
    for text in ("rollout 2.4.0 to lab", "https://a.b/c?d=e", "fld_pat_AbCdEf", "a@b.c", "a:b@c"):
        assert scrubbed(text) == text


@given(st.text())
def test_one_line_is_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line) == len(text)


@pytest.mark.parametrize(
    "evil", ["\n", "\r", "\x1b[2K", "\u202e", "\u2066", "\u2028", "\x9b", "\0"]
)
def test_controls_are_replaced(evil: str) -> None:
    assert evil[0] not in one_line(f"a{evil}b")
