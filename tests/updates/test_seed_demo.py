"""The demonstration is made through services, once."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.models import User
from apps.audit.selectors import find_broken_entry
from apps.core.actors import Call, Source
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.organizations.selectors import actor_for_user
from apps.updates.selectors.releases import list_releases
from apps.updates.selectors.rollouts import get_rollout
from tests import factories

pytestmark = pytest.mark.django_db


def seed(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("seed_demo", *arguments, stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def test_the_first_call_makes_everything_and_the_second_nothing() -> None:
    first = seed()
    assert (first["email"], first["is_new"]) == ("demo@fleetd.local", True)
    user = User.objects.get(email=first["email"])
    assert user.check_password(first["password"])
    assert first["enrollment_token"].startswith("fld_enr_")
    actor = actor_for_user(user, Call(Source.CLI))
    with tenant(actor.organization_id):
        releases = list_releases(actor, PageRequest()).items
        assert find_broken_entry(actor.organization_id) is None
    assert {r.version for r in releases} == {"1.0.0", "1.1.0"}
    assert seed("--prepare") == {
        "organization": "Demo",
        "email": first["email"],
        "is_new": False,
    }


def test_the_rollout_starts_once_the_devices_have_joined() -> None:
    email = seed()["email"]
    actor = actor_for_user(User.objects.get(email=email), Call(Source.CLI))
    for _ in range(20):
        factories.device(actor.organization_id, tags=["simulated"])
    factories.device(actor.organization_id)
    answer = seed("--rollout", "20")
    assert (answer["devices"], answer["state"], answer["is_new"]) == (20, "running", True)
    with tenant(actor.organization_id):
        rollout = get_rollout(actor, answer["rollout_id"])
        assert [p.total for p in rollout.phases.all()] == [1, 4, 5, 10]
    again = seed("--rollout", "20")
    assert (again["rollout_id"], again["is_new"]) == (answer["rollout_id"], False)


def test_the_rollout_needs_the_first_step() -> None:
    with pytest.raises(CommandError):
        seed("--rollout", "1")
