"""S87: given API keys, refresh, enrollment and service tokens and device codes, then 128 random
bits or more, prefix and checksum (a mistyped one is refused without a database query), only SHA-256
stored, shown once, compared in constant time.
"""

import math
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.domain import secrets
from apps.accounts.errors import InvalidApiKey, InvalidGrant, InvalidRefreshToken
from apps.accounts.services.service_tokens import create_service_token, find_live_service_token
from apps.accounts.services.tokens import rotate_refresh_token
from apps.core.actors import Call, Source
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.organizations.selectors import actor_for_api_key
from apps.organizations.services.device_sign_in import redeem_device_code
from tests.factories import PASSWORD
from tests.rest.conftest import Api

CALL = Call(Source.REST, "192.0.2.1", "r-1")
KINDS = ("pat", "enr", "svc", "ref", "dvc")
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_s87_secrets_hold_enough_chance(kind: str) -> None:
    """The characters come from the system's generator; as many as carry the bits."""
    body = secrets.new_secret(kind).split("_")[2]
    least = 256 if kind in ("ref", "dvc") else 128
    assert len(body) * math.log2(len(secrets.ALPHABET)) >= least
    made = [secrets.new_secret(kind).split("_")[2] for _ in range(400)]
    assert len(set(made)) == len(made)
    # Every character stands at every place at some time: nothing is fixed.
    for place in range(len(body)):
        assert len({one[place] for one in made}) > 30


@kinds
def test_s87_prefix_and_checksum_are_as_promised(kind: str) -> None:
    secret = secrets.new_secret(kind)
    assert re.fullmatch(rf"fld_{kind}_[0-9A-Za-z]{{32,43}}_[0-9A-Za-z]{{6}}", secret)
    assert secrets.is_well_formed(secret, kind)
    for other in KINDS:
        assert secrets.is_well_formed(secret, other) is (other == kind)
        relabelled = secret.replace(f"_{kind}_", f"_{other}_")
        assert secrets.is_well_formed(relabelled, other) is (other == kind)


@given(st.sampled_from(KINDS), st.data())
def test_s87_a_typing_mistake_is_noticed(kind: str, data: st.DataObject) -> None:
    secret = secrets.new_secret(kind)
    place = data.draw(st.integers(8, len(secret) - 1))
    other = data.draw(st.sampled_from([c for c in secrets.ALPHABET if c != secret[place]]))
    assert not secrets.is_well_formed(secret[:place] + other + secret[place + 1 :], kind)
    assert not secrets.is_well_formed(secret[:place] + secret[place + 1 :], kind)
    swapped = secret[: place - 1] + secret[place] + secret[place - 1] + secret[place + 1 :]
    assert not secrets.is_well_formed(swapped, kind) or swapped == secret


def mistyped(kind: str) -> str:
    secret = secrets.new_secret(kind)
    return secret[:-1] + ("a" if secret[-1] != "a" else "b")


@pytest.mark.django_db
def test_s87_a_mistyped_secret_costs_no_query(django_assert_num_queries: Any) -> None:
    attempts: tuple[tuple[Callable[[], Any], type[Exception] | None], ...] = (
        (lambda: actor_for_api_key(mistyped("pat"), CALL), InvalidApiKey),
        (lambda: rotate_refresh_token(CALL, mistyped("ref")), InvalidRefreshToken),
        (lambda: redeem_device_code(CALL, mistyped("dvc")), InvalidGrant),
    )
    with django_assert_num_queries(0):
        for attempt, refusal in attempts:
            with pytest.raises(refusal):
                attempt()
        assert find_live_service_token(mistyped("svc")) is None


@pytest.mark.django_db
def test_s87_secrets_are_shown_once_and_stored_as_sha256(alice_member: Membership) -> None:
    body = {"email": alice_member.user.email, "password": PASSWORD}
    tokens = Api().post("auth/login", **body).json()
    api = Api(tokens["access_token"])
    key = api.post("api-keys", name="ci").json()
    enrollment = api.post("enrollment-tokens", name="lab", max_uses=1).json()
    service = create_service_token(name="gateway", lifetime=timedelta(days=1)).secret
    shown = [tokens["refresh_token"], key["secret"], enrollment["secret"], service]
    with tenant(alice_member.organization_id):
        stored = stored_text()
    for secret in shown:
        assert secret not in stored
        assert secret.split("_")[2] not in stored
        assert secrets.secret_hash(secret) in stored
    for path in ("api-keys", "enrollment-tokens", "auth/sessions"):
        text = api.get(path).content.decode()
        assert [s for s in shown if s.split("_")[2] in text] == []


def stored_text() -> str:
    """Every row of every table, as text."""
    from django.apps import apps

    return "".join(str(list(model._base_manager.values())) for model in apps.get_models())


def test_s87_no_secret_is_compared_character_by_character() -> None:
    """They are looked up by their SHA-256, so that no comparison depends on the secret itself."""
    root = Path(__file__).resolve().parents[2] / "apps" / "accounts"
    compared = re.compile(r"(token_hash|secret_hash|device_code_hash|user_code_hash)\s*[!=]=")
    found = [str(p) for p in root.rglob("*.py") if compared.search(p.read_text())]
    assert found == []
