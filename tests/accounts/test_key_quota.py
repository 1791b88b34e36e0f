"""The organization's quota of API keys holds, also for keys that are made at the same moment."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from apps.accounts.models import ApiKey
from apps.accounts.services.api_keys import create_api_key, revoke_api_key
from apps.core.actors import Actor
from apps.core.tenancy import tenant
from apps.organizations.errors import QuotaExceeded
from apps.organizations.models import Organization
from tests.factories import Cast

LIMIT = 3


@pytest.fixture
def limited(acme: Cast) -> None:
    """Acme may have three keys."""
    Organization.objects.filter(id=acme.id).update(settings={"quotas.api_keys": LIMIT})


def make(actor: Actor) -> bool:
    """Whether there was room for one more."""
    try:
        with tenant(actor.organization_id):
            create_api_key(actor, name="ci")
    except QuotaExceeded:
        return False
    finally:
        connection.close()
    return True


@pytest.mark.django_db(transaction=True)
def test_keys_made_at_once_stay_within_the_quota(acme: Cast, alice: Actor, limited: None) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: make(alice), range(8)))
    assert made.count(True) == LIMIT
    with tenant(acme.id):
        assert ApiKey.objects.for_org(acme.id).count() == LIMIT


def test_a_revoked_key_makes_room(acme: Cast, alice: Actor, limited: None) -> None:
    with tenant(acme.id):
        keys = [create_api_key(alice, name="ci").api_key for _ in range(LIMIT)]
        with pytest.raises(QuotaExceeded):
            create_api_key(alice, name="one more")
        revoke_api_key(alice, keys[0].id)
        assert create_api_key(alice, name="one more").secret
