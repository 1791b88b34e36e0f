"""What was refused stands in the audit trail."""

from typing import Any

import pytest

from apps.organizations.models import Membership
from tests.factories import Cast
from tests.rest.conftest import Api

pytestmark = pytest.mark.django_db


def test_a_refused_request_is_audited(
    api: Api, bob_member: Membership, api_of: Any, acme: Cast
) -> None:
    assert (
        api_of(bob_member).post(f"devices/{acme.device.id}:quarantine", reason="x").status_code
        == 403
    )
    entry = api.get("audit-entries", action="devices.quarantine_device").json()["items"][0]
    assert (entry["result"], entry["source"], entry["actor_kind"]) == ("denied", "rest", "api_key")
    assert entry["changes"]["path"].endswith(":quarantine")


def test_a_key_can_do_what_its_scopes_say_and_no_more(
    alice_member: Membership, api_of: Any, acme: Cast
) -> None:
    narrow = api_of(alice_member, scopes=("devices.view_devices",))
    assert narrow.get("devices").status_code == 200
    assert narrow.get("devices").json()["items"][0]["group_ids"] == []
    assert narrow.get("device-groups").status_code == 403
    assert narrow.patch(f"devices/{acme.device.id}", name="x").status_code == 403
    assert narrow.get("auth/me").json()["permissions"] == ["devices.view_devices"]
