"""What is refused for want of a right is on record."""

import pytest

from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.rpc import orm
from apps.organizations.models import Membership
from fleetd.pb.public.v1 import fleet_pb2 as pb
from tests import factories
from tests.factories import Cast
from tests.rpc.doors import PROTOCOLS, Doors

QUARANTINE = "public.v1.FleetService/QuarantineDevice"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_refusal_names_the_right_and_is_audited(
    doors: Doors, protocol: str, bob_member: Membership, bob_key: str, acme: Cast, bob: Actor
) -> None:
    request = pb.QuarantineDeviceRequest(id=str(acme.device.id), reason="odd")
    answer = await doors.call(
        protocol, QUARANTINE, request, pb.QuarantineDeviceResponse, {"x-api-key": bob_key}
    )
    assert (answer.status, answer.code) == ("PERMISSION_DENIED", "permission_denied")
    assert answer.metadata["permission"] == "devices.quarantine_device"
    rows = AuditEntry.objects.for_org(acme.id).filter(action="devices.quarantine_device")
    entry = await orm(bob, rows.get)
    assert entry.result == "denied"
    assert entry.request_id == answer.request_id
    assert entry.actor_kind == "api_key"


@pytest.fixture
def bob_key(bob_member: Membership) -> str:
    """An API key of bob, who may only look."""
    return factories.api_key(bob_member)
