"""Refresh tokens: rotated on each use, forgiving for ten seconds, deadly when reused."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine

from apps.accounts.domain import secrets
from apps.accounts.errors import InvalidRefreshToken
from apps.accounts.models import RefreshFamily, RefreshToken, User
from apps.accounts.services import tokens
from apps.accounts.services.signing_keys import RING
from apps.accounts.services.tokens import (
    RefreshTokenReused,
    TokenPair,
    end_family_of_token,
    issue_tokens,
    rotate_refresh_token,
    sign_out_everywhere,
)
from apps.core import clock
from apps.core.actors import Call, SignIn, Source
from apps.core.errors import PermissionDenied
from tests import factories

CALL = Call(Source.REST, "192.0.2.7", "r-1")
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_keys() -> None:
    RING.forget()


@pytest.fixture
def person() -> User:
    return factories.user("ana@example.com")


def issued(person: User, **values: Any) -> TokenPair:
    sign_in = SignIn(clock.now(), frozenset({"password"}))
    return issue_tokens(
        person, **{"organization_id": None, "sign_in": sign_in, "call": CALL, **values}
    )


def later(**values: float) -> Any:
    return time_machine.travel(clock.now() + timedelta(**values), tick=False)


def state(family_id: UUID) -> tuple[bool, str]:
    family = RefreshFamily.objects.get(id=family_id)
    return family.ended_at is None, family.end_reason


def test_each_use_gives_a_new_token_and_uses_up_the_old_one(person: User) -> None:
    pair = issued(person)
    seen = {pair.refresh_token}
    for hour in range(1, 4):
        with later(hours=hour):
            pair = rotate_refresh_token(CALL, pair.refresh_token)
            claims = RING.verify(pair.access_token)
        assert pair.refresh_token not in seen
        assert (claims.subject, claims.session) == (person.id, pair.family.id)
        seen.add(pair.refresh_token)
    assert state(pair.family.id) == (True, "")


def test_a_retry_within_ten_seconds_gets_the_same_successor(person: User) -> None:
    first = issued(person).refresh_token
    with later(hours=1):
        second = rotate_refresh_token(CALL, first).refresh_token
        assert rotate_refresh_token(CALL, first).refresh_token == second
    with later(hours=1, seconds=9):
        assert rotate_refresh_token(CALL, first).refresh_token == second
    with later(hours=2):
        assert rotate_refresh_token(CALL, second).refresh_token != second


def test_a_used_token_that_comes_back_ends_the_family(person: User) -> None:
    pair = issued(person)
    with later(hours=1):
        thief = rotate_refresh_token(CALL, pair.refresh_token)
    with later(hours=1, seconds=11):
        with pytest.raises(RefreshTokenReused):
            rotate_refresh_token(CALL, pair.refresh_token)
        assert state(pair.family.id) == (False, "reused")
        with pytest.raises(InvalidRefreshToken):
            rotate_refresh_token(CALL, thief.refresh_token)


def test_the_grace_ends_once_the_successor_is_used(person: User) -> None:
    first = issued(person).refresh_token
    pair = rotate_refresh_token(CALL, first)
    rotate_refresh_token(CALL, pair.refresh_token)
    with pytest.raises(RefreshTokenReused):
        rotate_refresh_token(CALL, first)


def test_a_family_ends_after_thirty_days_however_busy(person: User) -> None:
    token = issued(person).refresh_token
    for day in (10, 20, 29):
        with later(days=day):
            token = rotate_refresh_token(CALL, token).refresh_token
    with later(days=30), pytest.raises(InvalidRefreshToken):
        rotate_refresh_token(CALL, token)


@pytest.mark.parametrize("change", ["disabled", "password", "everywhere", "service"])
def test_a_change_of_access_ends_it(person: User, change: str) -> None:
    pair = issued(person)
    if change == "disabled":
        User.objects.filter(id=person.id).update(is_active=False)
    if change == "password":
        person.set_password("another horse battery staple")
        person.save()
    if change == "everywhere":
        sign_out_everywhere(person)
    if change == "service":
        User.objects.filter(id=person.id).update(kind="service", password="!")
    with pytest.raises(InvalidRefreshToken):
        rotate_refresh_token(CALL, pair.refresh_token)
    assert not state(pair.family.id)[0]


def test_ending_by_token_is_done_once(person: User) -> None:
    pair = issued(person)
    assert end_family_of_token(pair.refresh_token) == pair.family
    assert end_family_of_token(pair.refresh_token) is None
    for text in ("", "x", secrets.new_secret(secrets.REFRESH_TOKEN)):
        assert end_family_of_token(text) is None


def test_tokens_are_stored_as_hashes_only(person: User) -> None:
    pair = issued(person)
    after = rotate_refresh_token(CALL, pair.refresh_token)
    stored = str(list(RefreshToken.objects.values())) + str(list(RefreshFamily.objects.values()))
    for text in (pair.refresh_token, after.refresh_token, pair.access_token):
        assert text not in stored
        assert text.split("_")[-2 if text.startswith("fld_") else -1] not in stored


def test_nonsense_is_refused_without_a_query(django_assert_num_queries: Any) -> None:
    good = secrets.new_secret(secrets.REFRESH_TOKEN)
    typo = good[:-1] + ("a" if good[-1] != "a" else "b")
    other = secrets.new_secret(secrets.API_KEY)
    with django_assert_num_queries(0):
        for text in ("", "x", typo, other, good + "a", "\x00" * 60, good.lower()):
            with pytest.raises(InvalidRefreshToken):
                rotate_refresh_token(CALL, text)


def test_service_accounts_and_disabled_people_get_none(person: User) -> None:
    person.kind = User.Kind.SERVICE
    with pytest.raises(PermissionDenied):
        issued(person)
    person.kind, person.is_active = User.Kind.PERSON, False
    with pytest.raises(Exception, match="not valid"):
        issued(person)


def test_the_oldest_sign_in_makes_way(person: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_LIVE_FAMILIES", 2)
    pairs = [issued(person) for _ in range(3)]
    assert [state(p.family.id)[0] for p in pairs] == [False, True, True]
