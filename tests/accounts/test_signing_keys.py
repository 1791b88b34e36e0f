"""Signing keys: sealed, rotated without a moment in which a good token is refused."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.accounts.domain import jwt
from apps.accounts.errors import KeyTooFresh
from apps.accounts.models import SigningKey
from apps.accounts.services import signing_keys
from apps.accounts.services.signing_keys import (
    KeyRing,
    ensure_signing_keys,
    maintain_signing_keys,
    published_keys,
    rotate_signing_keys,
)
from apps.core import clock
from apps.core.sealing import is_sealed

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _keys() -> None:
    signing_keys.RING.forget()
    ensure_signing_keys()


def claims() -> jwt.Claims:
    return jwt.new_claims(
        subject=uuid4(),
        session=uuid4(),
        version=0,
        organization=None,
        methods=frozenset({"password"}),
        authenticated_at=clock.now(),
        now=clock.now(),
    )


def states() -> list[str]:
    return sorted(SigningKey.objects.values_list("state", flat=True))


def later(**values: float) -> Any:
    return time_machine.travel(clock.now() + timedelta(**values), tick=False)


def test_an_installation_begins_with_a_key_and_the_one_after_it() -> None:
    ensure_signing_keys()
    assert states() == ["active", "next"]


def test_private_halves_are_sealed() -> None:
    for row in SigningKey.objects.all():
        assert is_sealed(row.sealed_private_key)


def test_the_published_set_has_public_halves_only() -> None:
    for key in published_keys()["keys"]:
        assert set(key) == {"kty", "crv", "use", "alg", "kid", "x"}
        assert len(key["x"]) == 43


def test_a_key_is_published_before_it_signs_and_after_it_has_signed() -> None:
    old, other = KeyRing(), KeyRing()
    before = old.sign(claims())
    published = {key["kid"] for key in published_keys()["keys"]}
    with later(hours=1):
        active = rotate_signing_keys()
        assert active.kid in published
        assert states() == ["active", "next", "retired"]
        still = old.sign(claims())  # this process has not noticed yet
        for ring in (KeyRing(), old):
            assert ring.verify(still)
        assert KeyRing().sign(claims()) != before
    assert other.verify(before)


def test_a_process_notices_a_key_that_it_has_never_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = KeyRing()
    ring.verify(ring.sign(claims()))
    for _ in range(2):  # the second time nothing that was known is left
        rotate_signing_keys(at_once=True)
    token = KeyRing().sign(claims())
    with pytest.raises(jwt.UnknownKey):
        ring.verify(token)  # it has just read the keys
    monkeypatch.setattr(signing_keys, "RELOAD_SECONDS", 0)
    assert ring.verify(token)


def test_made_up_key_ids_do_not_make_a_process_read_again(
    django_assert_num_queries: Any,
) -> None:
    ring = KeyRing()
    ring.sign(claims())
    stranger = jwt.SigningPair("made-up", Ed25519PrivateKey.generate())
    token = jwt.sign(claims(), stranger, issuer="http://127.0.0.1:8080")
    with django_assert_num_queries(0):
        for _ in range(50):
            with pytest.raises(jwt.UnknownKey):
                ring.verify(token)


def test_a_key_that_others_may_not_have_read_yet_does_not_sign() -> None:
    with pytest.raises(KeyTooFresh):
        rotate_signing_keys()
    assert states() == ["active", "next"]


def test_a_leaked_key_is_gone_at_once() -> None:
    token = KeyRing().sign(claims())
    rotate_signing_keys(at_once=True)
    assert states() == ["active", "next"]
    with pytest.raises(jwt.TokenRefused):
        KeyRing().verify(token)


def test_upkeep_rotates_after_thirty_days_and_forgets_what_nothing_needs() -> None:
    maintain_signing_keys()
    assert states() == ["active", "next"]
    with later(days=31):
        maintain_signing_keys()
        maintain_signing_keys()
        assert states() == ["active", "next", "retired"]
    with later(days=31, minutes=10):
        maintain_signing_keys()
        assert states() == ["active", "next", "retired"]
    with later(days=31, hours=1):
        maintain_signing_keys()
        assert states() == ["active", "next"]
