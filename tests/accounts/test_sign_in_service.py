"""Signing in with a password by the one function, and what is counted."""

import pytest
from prometheus_client import REGISTRY

from apps.accounts.errors import WeakPassword
from apps.accounts.models import User
from apps.accounts.services.people import create_person
from apps.accounts.services.sign_in import authenticate_password
from apps.core.actors import Call, Source
from apps.core.errors import FleetdError
from apps.organizations.models import Membership
from tests import factories
from tests.accounts.people import WRONG, code, demand, entries, with_app
from tests.factories import PASSWORD

CALL = Call(Source.REST, "192.0.2.1", "request-1")


def counted(result: str, method: str) -> float:
    """The metric now."""
    labels = {"result": result, "method": method}
    return REGISTRY.get_sample_value("fleetd_sign_ins_total", labels) or 0.0


def refusal(email: str, password: str = PASSWORD, **more: str) -> str:
    """The code of the refusal."""
    with pytest.raises(FleetdError) as error:
        authenticate_password(CALL, email=email, password=password, **more)
    return error.value.code


def test_a_program_signs_in_with_password_and_code(bob_member: Membership) -> None:
    plain = authenticate_password(CALL, email=" BOB@acme.test ", password=PASSWORD)
    assert (plain.user.pk, plain.sign_in.methods) == (bob_member.user_id, {"password"})
    with_app(bob_member.user)
    assert refusal("bob@acme.test") == "second_factor_required"
    assert refusal("bob@acme.test", code="000000") == "invalid_second_factor"
    both = authenticate_password(CALL, email="bob@acme.test", password=PASSWORD, code=code())
    assert both.sign_in.methods == {"password", "totp"}
    assert refusal("bob@acme.test", code=code()) == "invalid_second_factor"  # once only
    said = [(e.result, e.changes.get("reason", "")) for e in entries(bob_member)]
    assert said == [
        ("success", ""),
        ("denied", "second_factor_required"),
        ("denied", "invalid_second_factor"),
        ("success", ""),
        ("denied", "invalid_second_factor"),
    ]


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("nobody@example.com", PASSWORD),
        ("bob@acme.test", WRONG),
        ("bob@acme.test", ""),
        ("bob@acme.test", "x" * 5000),
        ("bob@acme.test", "\x00"),
        ("", PASSWORD),
        ("x" * 300, PASSWORD),
        ("bob@acme.test\x00", PASSWORD),
        ("robot@service.invalid", PASSWORD),
    ],
)
def test_every_wrong_attempt_looks_the_same(
    bob_member: Membership, email: str, password: str
) -> None:
    User(email="robot@service.invalid", kind="service", password="!").save()
    assert refusal(email, password) == "invalid_credentials"


def test_attempts_are_counted_by_result_and_method(bob_member: Membership) -> None:
    success, denied = counted("success", "password"), counted("denied", "password")
    authenticate_password(CALL, email="bob@acme.test", password=PASSWORD)
    refusal("bob@acme.test", WRONG)
    refusal("nobody@example.com")
    assert counted("success", "password") == success + 1
    assert counted("denied", "password") == denied + 2


def test_each_organization_of_a_person_hears_of_it(bob_member: Membership) -> None:
    other = factories.membership(factories.organization().id, bob_member.user, bob_member.role)
    authenticate_password(CALL, email="bob@acme.test", password=PASSWORD)
    refusal("bob@acme.test", WRONG)
    for member in (bob_member, other):
        assert [entry.result for entry in entries(member)] == ["success", "denied"]


def test_a_short_password_signs_no_program_in(bob_member: Membership) -> None:
    demand(bob_member.organization, password_min_length=40)
    assert refusal("bob@acme.test") == "password_change_required"


def test_an_unconfirmed_address_signs_no_program_in(bob_member: Membership, settings) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    assert refusal("bob@acme.test") == "email_not_verified"


def test_people_are_made_with_sound_passwords_only(db: None) -> None:
    made = create_person(None, email=" New@Example.COM ", password=PASSWORD, name=" A  B ")
    assert (made.email, made.name) == ("new@example.com", "A B")
    for password, length in (("short", 0), ("password1234", 0), (PASSWORD, 60)):
        with pytest.raises(WeakPassword):
            create_person(None, email="b@x.test", password=password, password_min_length=length)
    with pytest.raises(FleetdError) as taken:
        create_person(None, email="NEW@example.com", password=PASSWORD)
    assert taken.value.code == "email_taken"
    with pytest.raises(FleetdError):
        create_person(None, email="no address", password=PASSWORD)
