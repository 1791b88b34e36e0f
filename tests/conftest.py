"""The cast: acme (alice owner, bob viewer, erin operator) and globex (charlie admin).

Each organization has two devices and a group of the first one. People are given as the actors
that doors build for them.
"""

from collections.abc import Iterator

import pytest

from apps.accounts.services.signing_keys import RING
from apps.core.actors import Actor
from apps.core.authz import Role
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.organizations.services.authentication import forget_callers
from apps.web import organization_rules
from tests import factories
from tests.factories import Cast


@pytest.fixture(autouse=True)
def _nobody_is_remembered() -> None:
    """A process remembers callers for five seconds; a test must not remember another's."""
    forget_callers()
    RING.forget()


@pytest.fixture(autouse=True)
def _rules_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process reads organizations' rules every four seconds; a test reads them once, its own.

    Else the query would fall into whatever the test does, or counts, when the four seconds end.
    """
    organization_rules.forget_rules()
    monkeypatch.setattr(organization_rules, "FRESH_SECONDS", 3600.0)


@pytest.fixture
def acme(db: None) -> Cast:
    """The organization most tests work in."""
    return factories.cast("Acme")


@pytest.fixture
def globex(db: None) -> Cast:
    """The other organization, which must never be reached."""
    return factories.cast("Globex")


@pytest.fixture
def alice_member(acme: Cast) -> Membership:
    """Alice's membership, with her account."""
    return factories.membership(acme.id, factories.user("alice@acme.test"), Role.OWNER)


@pytest.fixture
def bob_member(acme: Cast) -> Membership:
    """Bob's membership, with his account."""
    return factories.membership(acme.id, factories.user("bob@acme.test"), Role.VIEWER)


@pytest.fixture
def erin_member(acme: Cast) -> Membership:
    """Erin's membership, with her account."""
    return factories.membership(acme.id, factories.user("erin@acme.test"), Role.OPERATOR)


@pytest.fixture
def charlie_member(globex: Cast) -> Membership:
    """Charlie's membership, with his account."""
    return factories.membership(globex.id, factories.user("charlie@globex.test"), Role.ADMIN)


@pytest.fixture
def alice(alice_member: Membership) -> Actor:
    """Owner of acme."""
    return factories.actor(alice_member)


@pytest.fixture
def bob(bob_member: Membership) -> Actor:
    """Viewer of acme."""
    return factories.actor(bob_member)


@pytest.fixture
def erin(erin_member: Membership) -> Actor:
    """Operator of acme."""
    return factories.actor(erin_member)


@pytest.fixture
def charlie(charlie_member: Membership) -> Actor:
    """Administrator of globex."""
    return factories.actor(charlie_member)


@pytest.fixture
def in_acme(acme: Cast, globex: Cast) -> Iterator[None]:
    """Opens acme's tenant, as a door does. Globex exists, and stays out of reach."""
    with tenant(acme.id):
        yield
