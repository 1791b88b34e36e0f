"""The demonstration is made through services, once."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from apps.accounts.models import User
from apps.audit.selectors import find_broken_entry
from apps.core.actors import Call, Source
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.organizations.models import Organization, Role
from apps.organizations.selectors import actor_for_user
from apps.updates.selectors.releases import list_releases
from apps.updates.selectors.rollouts import get_rollout
from apps.updates.selectors.signing import get_signing_status
from fleetctl.errors import UsageError
from fleetctl.sign.folder import Folder
from fleetctl.sign.metadata import signers_of
from fleetd.settings.layout import DataLayout
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataLayout:
    """A data directory of the test's own, because the ceremony writes keys into it."""
    found = DataLayout(tmp_path)
    monkeypatch.setattr(settings, "LAYOUT", found)
    return found


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


def test_releases_are_signed_by_offline_keys_and_the_trial_mode_is_over(layout: DataLayout) -> None:
    email = seed()["email"]
    actor = actor_for_user(User.objects.get(email=email), Call(Source.CLI))
    with tenant(actor.organization_id):
        status = get_signing_status(actor)
    assert (status.allows_unsigned, status.unsigned_releases) == (False, 0)
    folder = Folder(layout.demo_signing, layout.demo_signing / "passphrase")
    who = signers_of(folder.root().signed, "targets")
    assert [key.id for key in status.roles[1].keys] == [
        key.public.keyid for key in folder.keys_for("targets", who.publics, 1)
    ]
    for path in layout.demo_signing.iterdir():
        assert path.suffix == ".json" or path.stat().st_mode & 0o077 == 0
    (layout.demo_signing / "passphrase").write_text("another passphrase\n")
    with pytest.raises(UsageError):
        Folder(layout.demo_signing, layout.demo_signing / "passphrase").keys("targets")


def test_a_demonstration_of_an_earlier_version_keeps_its_trial_mode(layout: DataLayout) -> None:
    organization = factories.organization("Demo")
    factories.membership(organization.id, factories.user("demo@fleetd.local"), Role.OWNER)
    assert seed()["is_new"] is False
    assert not layout.demo_signing.exists()
    assert Organization.objects.get().settings["updates.allow_unsigned"] is True


def test_keys_of_a_start_that_died_are_used(layout: DataLayout) -> None:
    folder = Folder(layout.demo_signing, layout.demo_signing / "passphrase")
    folder.create()
    (layout.demo_signing / "passphrase").write_text("left by a start that died\n")
    [key] = folder.new_keys("root", 1)
    seed()
    assert list(folder.root().signed.roles["root"].keyids) == [key.public.keyid]


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
