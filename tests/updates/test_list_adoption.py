"""A release's page says on which days how many devices installed it, from what they reported."""

from datetime import UTC, timedelta
from uuid import uuid4

import pytest
from django.test import Client

from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import NotFound
from apps.organizations.models import Membership
from apps.updates.models import Deployment
from apps.updates.selectors.adoption import list_adoption
from apps.updates.services.rollouts import start_rollout
from tests import factories
from tests.bars.audited import browser
from tests.updates.conftest import Fleet, make_release, make_rollout

pytestmark = pytest.mark.usefixtures("in_acme")


def test_installations_are_counted_by_day_with_the_days_between(
    fleet: Fleet, alice: Actor, alice_member: Membership
) -> None:
    release = make_release(alice)
    assert list_adoption(alice, release.id) == []
    start_rollout(alice, make_rollout(alice, release).id)
    offers = fleet.claim()
    fleet.finish(offers[:-1])
    fleet.finish(offers[-1:], "failed")
    rows = Deployment.objects.for_org(alice.organization_id).filter(state="succeeded")
    first = rows.order_by("id").first()
    assert first is not None
    two_days_ago = clock.now() - timedelta(days=2)
    rows.filter(id=first.id).update(finished_at=two_days_ago)

    days = list_adoption(alice, release.id)
    today = clock.now().astimezone(UTC).date()
    assert [day.devices for day in days] == [1, 0, rows.count() - 1]
    assert [day.day for day in days] == [today - timedelta(days=n) for n in (2, 1, 0)]

    key = factories.api_key(alice_member)
    answer = Client().get(f"/api/v1/releases/{release.id}/adoption", HTTP_X_API_KEY=key).json()
    assert [day["devices"] for day in answer["days"]] == [day.devices for day in days]
    page = browser(alice_member).get(f"/releases/{release.id}/adoption").content.decode()
    assert page.count("<rect ") == 3
    assert "style=" not in page


def test_a_release_that_is_not_there_has_no_days(alice: Actor) -> None:
    with pytest.raises(NotFound):
        list_adoption(alice, uuid4())
