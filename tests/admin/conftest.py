"""The admin with both organizations full, and people who open it."""

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.test import Client

from apps.organizations.models import Membership
from apps.web.admin_site import FleetdAdminSite, load_pages
from tests.admin.rows import Rows

ACME_MARK = "acmemark"
GLOBEX_MARK = "globexmark"


@pytest.fixture
def site() -> FleetdAdminSite:
    """The product's admin, with all of its pages."""
    load_pages()
    return admin.site


@pytest.fixture
def acme_rows(alice_member: Membership) -> Rows:
    """One row of every table in acme."""
    return Rows(alice_member.organization_id, ACME_MARK, alice_member.user)


@pytest.fixture
def globex_rows(charlie_member: Membership) -> Rows:
    """One row of every table in globex, each with a mark that acme must never see."""
    return Rows(charlie_member.organization_id, GLOBEX_MARK, charlie_member.user)


@pytest.fixture
def sign_in() -> Callable[[Membership], Client]:
    """A browser in which a member is signed in."""

    def opened(member: Membership) -> Client:
        client = Client()
        client.force_login(
            member.user, backend="allauth.account.auth_backends.AuthenticationBackend"
        )
        return client

    return opened


@pytest.fixture
def browser(sign_in: Callable[[Membership], Client], alice_member: Membership) -> Client:
    """Alice's."""
    return sign_in(alice_member)
