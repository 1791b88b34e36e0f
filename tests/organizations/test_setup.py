"""The first owner and organization."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from apps.accounts.errors import EmailTaken, WeakPassword
from apps.accounts.models import User
from apps.audit.models import AuditEntry
from apps.core.errors import FleetdError, InvalidRequest
from apps.core.tenancy import tenant
from apps.organizations.errors import SetupDone, SlugTaken, WrongSetupCode
from apps.organizations.models import Membership, Organization, SetupCode
from apps.organizations.selectors import list_memberships_of
from apps.organizations.services.setup import (
    complete_setup,
    create_organization,
    is_setup_code,
    issue_setup_code,
)
from tests import factories

pytestmark = pytest.mark.django_db
GOOD = {
    "email": "Ada@Example.com",
    "password": "unlikely orange bicycle",
    "organization_name": "Ada & Söhne",
}


def finish(code: str | None, **changes: Any) -> Any:
    return complete_setup(None, **{"code": code or "", **GOOD, **changes})


def test_the_code_makes_the_first_owner_and_is_gone() -> None:
    made = finish(issue_setup_code(None))
    assert made.organization.slug == "ada-sohne"
    assert made.owner.email == "ada@example.com"
    assert made.owner.check_password(GOOD["password"])
    [membership] = list_memberships_of(made.owner.id)
    assert membership.role == "owner"
    assert not SetupCode.objects.exists()
    with tenant(made.organization.id):
        rows = AuditEntry.objects.for_org(made.organization.id).order_by("sequence")
        assert list(rows.values_list("action", flat=True)) == [
            "organizations.create_organization",
            "organizations.add_member",
            "organizations.update_organization_settings",  # trial mode, in plain sight
        ]


def test_a_wrong_code_makes_nothing() -> None:
    issue_setup_code(None)
    for code in ("", "x", "0" * 16):
        with pytest.raises(WrongSetupCode):
            finish(code)
    assert not User.objects.exists()


def test_without_a_code_nothing_fits() -> None:
    assert not is_setup_code(None, "")
    with pytest.raises(WrongSetupCode):
        finish("")


def test_a_new_code_replaces_the_old_one() -> None:
    old, new = issue_setup_code(None), issue_setup_code(None)
    assert old
    assert new
    assert not is_setup_code(None, old)
    assert is_setup_code(None, new)
    assert SetupCode.objects.get().secret_hash != new


def test_once_there_is_an_account_setup_is_over() -> None:
    code = issue_setup_code(None)
    factories.user()
    assert issue_setup_code(None) is None
    with pytest.raises(SetupDone):
        finish(code)


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"email": "no address"}, InvalidRequest),
        ({"password": "password"}, WeakPassword),
        ({"password": ""}, WeakPassword),
        ({"organization_name": "!!!"}, InvalidRequest),
        ({"organization_name": "x" * 101}, InvalidRequest),
    ],
)
def test_bad_values_make_nothing_and_keep_the_code(
    changes: dict[str, str], failure: type[FleetdError]
) -> None:
    code = issue_setup_code(None)
    with pytest.raises(failure):
        finish(code, **changes)
    assert not User.objects.exists()
    assert not Organization.objects.exists()
    assert finish(code).owner


def test_names_and_addresses_are_taken_once() -> None:
    made = create_organization(None, name="Acme", email="a@b.example", password=GOOD["password"])
    with pytest.raises(SlugTaken):
        create_organization(None, name="ACME", email="c@d.example", password=GOOD["password"])
    with pytest.raises(EmailTaken):
        create_organization(None, name="Other", email="A@b.Example", password=GOOD["password"])
    assert Organization.objects.get() == made.organization
    assert User.objects.get() == made.owner


@pytest.mark.django_db(transaction=True)
def test_two_setups_at_once_make_one_owner() -> None:
    code = issue_setup_code(None)

    def attempt(number: int) -> str:
        try:
            finish(code, email=f"owner{number}@example.com", organization_name=f"Org {number}")
        except FleetdError as error:
            return error.code
        finally:
            connection.close()
        return "made"

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(attempt, range(4)))
    assert answers == ["made", "setup_done", "setup_done", "setup_done"]
    assert User.objects.count() == 1
    with tenant(Organization.objects.get().id):
        assert Membership.objects.for_org(Organization.objects.get().id).count() == 1
