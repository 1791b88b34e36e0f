"""Quotas where things are written, and what is said about them."""

import io
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.services.api_keys import create_api_key
from apps.core.actors import Actor, system_actor
from apps.core.errors import PermissionDenied
from apps.devices.models import Device
from apps.devices.services.devices import decommission_device, register_device
from apps.devices.types import Facts, NewDevice
from apps.organizations.errors import QuotaExceeded
from apps.organizations.models import Membership, Organization
from apps.organizations.services.quotas import list_usage, register_meter
from apps.updates.models import Artifact
from apps.updates.services.artifacts import store_artifact
from tests import factories
from tests.factories import Cast
from tests.organizations.support import as_now, entries
from tests.organizations.test_at_once import limit
from tests.rest.conftest import Api

in_acme = pytest.mark.usefixtures("in_acme")


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> None:
    """Artifacts lie in a folder of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path}"


def new_device(number: int) -> NewDevice:
    """A machine that enrolls."""
    return NewDevice(hardware_id=f"new-{number}", facts=Facts(hostname="m"), agent_version="1")


@in_acme
def test_one_device_too_many_is_refused_with_limit_and_use(acme: Cast) -> None:
    limit(acme, "devices", 3)
    actor = system_actor(acme.id)
    register_device(actor, new_device(1))
    with pytest.raises(QuotaExceeded) as refused:
        register_device(actor, new_device(2))
    assert refused.value.data == {"quota": "devices", "limit": 3, "used": 3}
    assert Device.objects.for_org(acme.id).count() == 3
    assert len(entries(acme, "devices.register_device")) == 1


@in_acme
def test_a_decommissioned_device_makes_room(acme: Cast, alice: Actor) -> None:
    limit(acme, "devices", 2)
    decommission_device(alice, acme.device.id, reason="sold")
    assert register_device(system_actor(acme.id), new_device(1)).lifecycle == "active"


@in_acme
def test_the_same_file_again_needs_no_room(acme: Cast, alice: Actor) -> None:
    limit(acme, "storage_bytes", 5)
    for _ in range(2):
        store_artifact(alice, name="a.bin", file=io.BytesIO(b"12345"))
    with pytest.raises(QuotaExceeded):
        store_artifact(alice, name="b.bin", file=io.BytesIO(b"6"))
    assert Artifact.objects.for_org(acme.id).count() == 1


@in_acme
def test_keys_that_ended_make_room(acme: Cast, alice_member: Membership) -> None:
    alice = as_now(alice_member)
    limit(acme, "api_keys", 1)
    first = create_api_key(alice, name="one")
    with pytest.raises(QuotaExceeded):
        create_api_key(alice, name="two")
    type(first.api_key).unscoped.filter(id=first.api_key.id).update(
        expires_at=first.api_key.created_at
    )
    assert create_api_key(alice, name="three").secret


@in_acme
def test_another_organization_has_room_of_its_own(acme: Cast, globex: Cast) -> None:
    limit(globex, "devices", 0)
    assert register_device(system_actor(acme.id), new_device(1))


@in_acme
def test_usage_is_for_those_who_may_see_it(acme: Cast, alice: Actor, bob: Actor) -> None:
    limit(acme, "devices", 10)
    found = {u.quota: (u.used, u.limit) for u in list_usage(alice)}
    assert found == {"devices": (2, 10), "storage_bytes": (0, None), "api_keys": (0, None)}
    with pytest.raises(PermissionDenied):
        list_usage(bob)


def test_rest_tells_usage_and_the_refusal(acme: Cast, alice_member: Membership) -> None:
    Organization.objects.filter(id=acme.id).update(settings={"quotas.storage_bytes": 1})
    api = Api(factories.api_key(alice_member))
    items = {item["quota"]: item for item in api.get("usage").json()["items"]}
    assert (items["storage_bytes"]["used"], items["storage_bytes"]["limit"]) == (0, 1)
    assert items["devices"]["limit"] is None
    response = api.client.post(
        "/api/v1/artifacts?name=a.bin",
        b"12345",
        content_type="application/octet-stream",
        headers=api.headers,
    )
    assert (response.status_code, response.json()["code"]) == (429, "quota_exceeded")
    assert int(response["Retry-After"]) >= 1


def test_there_is_no_meter_without_a_quota() -> None:
    with pytest.raises(ValueError, match="no quota"):
        register_meter("coffee", lambda _id: 0)
