"""The same list through REST, Connect, gRPC-Web and gRPC: the same items."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from apps.core.rest.messages import render
from apps.organizations.models import Membership
from fleetd.pb.public.v1 import auth_pb2, fleet_pb2, organization_pb2
from tests import factories
from tests.rest.conftest import Api
from tests.rpc.doors import PROTOCOLS, Doors

LISTS = [
    (fleet_pb2, "FleetService/ListDevices", "devices"),
    (fleet_pb2, "FleetService/ListDeviceGroups", "device-groups"),
    (fleet_pb2, "FleetService/ListEnrollmentTokens", "enrollment-tokens"),
    (fleet_pb2, "FleetService/ListArtifacts", "artifacts"),
    (fleet_pb2, "FleetService/ListReleases", "releases"),
    (fleet_pb2, "FleetService/ListRollouts", "rollouts"),
    (fleet_pb2, "FleetService/ListDeployments", "deployments"),
    (auth_pb2, "AuthService/ListApiKeys", "api-keys"),
    (organization_pb2, "OrganizationService/ListOrganizations", "organizations"),
    (organization_pb2, "OrganizationService/ListMembers", "members"),
    (organization_pb2, "OrganizationService/ListAuditEntries", "audit-entries"),
]


def messages_of(module: Any, method: str) -> tuple[type[Message], type[Message]]:
    """The request and response classes of a method."""
    service, name = method.split("/")
    found = module.DESCRIPTOR.services_by_name[service].methods_by_name[name]
    return GetMessageClass(found.input_type), GetMessageClass(found.output_type)


@pytest.fixture
def furnished(alice_member: Membership, api: Api) -> str:
    """An organization with something in every list; the secret of alice's key."""
    factories.device(alice_member.organization_id, "online", state=factories.online(), tags=["a"])
    assert api.post("enrollment-tokens", name="lab", tags=["lab"]).status_code == 201
    upload = api.client.post(
        "/api/v1/artifacts?name=a.bin", b"12345", "application/octet-stream", headers=api.headers
    )
    component = {
        "name": "app",
        "kind": "binary",
        "artifact_id": upload.json()["id"],
        "target": "/a",
    }
    release = api.post("releases", name="app", version="1.0.0", components=[component])
    assert release.status_code == 201, release.content
    rollout = api.post("rollouts", name="first", release_id=release.json()["id"])
    assert rollout.status_code == 201, rollout.content
    started = api.post(f"rollouts/{rollout.json()['id']}:start")
    assert started.status_code == 200, started.content
    return api.headers["Authorization"].removeprefix("Bearer ")


@pytest.mark.parametrize(("module", "method", "path"), LISTS, ids=[m for _, m, _ in LISTS])
async def test_every_protocol_lists_the_same_items(
    doors: Doors, furnished: str, api: Api, module: Any, method: str, path: str
) -> None:
    rest = (await sync_to_async(api.get)(path)).json()
    assert rest["items"], path
    request, response = messages_of(module, method)
    for protocol in PROTOCOLS:
        answer = await doors.call(
            protocol,
            f"public.v1.{method}",
            request(),
            response,
            {"authorization": f"Bearer {furnished}"},
        )
        assert answer.status == "OK", (protocol, answer)
        shown = render(answer.response)
        assert without_reasons(shown) == without_reasons(rest), protocol


def without_reasons(page: dict[str, Any]) -> dict[str, Any]:
    """The page without sentences that tell the time of day, and without the last use of the key."""
    for item in page["items"]:
        item.pop("connectivity_reason", None)
        item.pop("last_used_at", None)
    return page
