"""Things that two people do at the same moment: one of them is refused, nothing is broken."""

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from apps.core.actors import Actor, Call, Source, system_actor
from apps.core.authz import Role
from apps.core.errors import FleetdError
from apps.core.tenancy import tenant
from apps.devices.services.devices import register_device
from apps.devices.types import Facts, NewDevice
from apps.organizations.models import Membership, Organization
from apps.organizations.services.invitations import accept_invitation, create_invitation
from apps.organizations.services.members import change_member_role, remove_member
from apps.organizations.storage import organization_folder
from apps.updates.models import Artifact
from apps.updates.services.artifacts import store_artifact
from tests import factories
from tests.factories import Cast
from tests.organizations.support import as_now, roles

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def storage(settings: Any, tmp_path: Path) -> Path:
    """Artifacts lie in a folder of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path}"
    return tmp_path


def together(*acts: Callable[[], object]) -> list[str]:
    """What came of each, all begun at the same moment: a code, or nothing where it was done."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> str:
        gate.wait(10)
        try:
            act()
        except FleetdError as error:
            return error.code
        finally:
            connections.close_all()
        return ""

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def within(actor: Actor, act: Callable[[], object]) -> Callable[[], object]:
    """The act inside the actor's organization, as a door runs it."""

    def run() -> None:
        with tenant(actor.organization_id):
            act()

    return run


@pytest.mark.parametrize("round_", range(3))
def test_two_owners_who_demote_each_other_leave_one(acme: Cast, round_: int) -> None:
    ann = factories.membership(acme.id, factories.user("ann@acme.test"), Role.OWNER)
    ben = factories.membership(acme.id, factories.user("ben@acme.test"), Role.OWNER)
    by_ann, by_ben = as_now(ann), as_now(ben)
    codes = together(
        within(by_ann, lambda: change_member_role(by_ann, ben.id, role="viewer")),
        within(by_ben, lambda: change_member_role(by_ben, ann.id, role="viewer")),
    )
    assert sorted(codes) == ["", "last_owner"]
    assert sorted(roles(acme).values()) == ["owner", "viewer"]


def test_two_owners_who_remove_each_other_leave_one(acme: Cast) -> None:
    ann = factories.membership(acme.id, factories.user("ann@acme.test"), Role.OWNER)
    ben = factories.membership(acme.id, factories.user("ben@acme.test"), Role.OWNER)
    by_ann, by_ben = as_now(ann), as_now(ben)
    codes = together(
        within(by_ann, lambda: remove_member(by_ann, ben.id)),
        within(by_ben, lambda: remove_member(by_ben, ann.id)),
    )
    assert sorted(codes) == ["", "last_owner"]
    assert list(roles(acme).values()) == ["owner"]


def test_a_link_that_many_follow_lets_one_in(acme: Cast, alice_member: Membership) -> None:
    alice = as_now(alice_member)
    with tenant(acme.id):
        made = create_invitation(alice, role="viewer")
    people = [factories.user(f"p{n}@else.test") for n in range(6)]
    codes = together(
        *(
            lambda person=person, n=n: accept_invitation(  # type: ignore[misc]
                Call(Source.UI, f"192.0.2.{n}"), person, made.secret
            )
            for n, person in enumerate(people)
        )
    )
    assert sorted(codes) == ["", *["invitation_invalid"] * 5]
    assert len(roles(acme)) == 2


def test_ten_uploads_at_once_stay_within_the_quota(acme: Cast, storage: Path) -> None:
    limit(acme, "storage_bytes", 3 * 1000)
    actor = system_actor(acme.id)

    def upload(number: int) -> Callable[[], object]:
        content = bytes([number]) * 1000
        return within(
            actor, lambda: store_artifact(actor, name=f"{number}.bin", file=io.BytesIO(content))
        )

    codes = together(*(upload(number) for number in range(10)))
    assert sorted(codes) == [*[""] * 3, *["quota_exceeded"] * 7]
    with tenant(acme.id):
        assert Artifact.objects.for_org(acme.id).count() == 3
    files = [p for p in organization_folder(acme.id).rglob("*") if p.is_file()]
    assert len(files) == 3


def test_devices_that_enroll_at_once_stay_within_the_quota(acme: Cast) -> None:
    limit(acme, "devices", 2 + 3)
    actor = system_actor(acme.id)

    def enroll(number: int) -> Callable[[], object]:
        new = NewDevice(
            hardware_id=f"machine-{number}", facts=Facts(hostname="m"), agent_version="1"
        )
        return within(actor, lambda: register_device(actor, new))

    codes = together(*(enroll(number) for number in range(8)))
    assert sorted(codes) == [*[""] * 3, *["quota_exceeded"] * 5]


def limit(organization: Cast, quota: str, value: int) -> None:
    """Sets a quota."""
    rows = Organization.objects.filter(id=organization.id)
    rows.update(settings={f"quotas.{quota}": value})
