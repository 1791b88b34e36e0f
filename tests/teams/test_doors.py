"""Teams, roles, grants and explanations over REST and RPC."""

import json
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from apps.core.authz import Role
from apps.core.ids import uuid7
from apps.organizations.models import Membership
from apps.organizations.services.authentication import forget_callers
from apps.web.api.views import build_document
from fleetd.pb.public.v1 import organization_pb2 as pb
from tests import factories
from tests.factories import Cast
from tests.rpc.conftest import open_doors
from tests.teams.support import person


class Caller:
    """A program with somebody's API key."""

    def __init__(self, member: Membership) -> None:
        self.headers = {"Authorization": f"Bearer {factories.api_key(member)}"}

    def call(self, method: str, path: str, body: Any = None, status: int = 200) -> dict[str, Any]:
        forget_callers()  # a process remembers them for seconds
        answer = Client().generic(
            method,
            f"/api/v1/{path}",
            json.dumps(body) if body is not None else "",
            content_type="application/json",
            headers=self.headers,
        )
        assert answer.status_code == status, answer.content
        return dict(json.loads(answer.content)) if answer.content else {}


@pytest.fixture
def owner(alice_member: Membership) -> Caller:
    return Caller(alice_member)


@pytest.fixture
def ana(acme: Cast) -> Membership:
    return person(acme.id, "ana@acme.test")


def test_a_team_over_rest(acme: Cast, owner: Caller, ana: Membership) -> None:
    caller = Caller(ana)
    team = owner.call("POST", "teams", {"name": "Lab"}, 201)
    path = f"teams/{team['id']}"
    added = {"user_ids": [str(ana.user_id)], "role": "viewer"}
    assert owner.call("POST", f"{path}:add-members", added)["member_count"] == 1
    give = f"device-groups/{acme.group.id}:give-to-team"
    assert owner.call("POST", give, {"team_id": team["id"]})["team_id"] == team["id"]
    assert [d["name"] for d in caller.call("GET", "devices")["items"]] == ["acme-one"]
    rename = f"devices/{acme.device.id}"
    assert caller.call("PATCH", rename, {"name": "x"}, 403)["code"] == "permission_denied"
    member = owner.call("PATCH", f"{path}/members/{ana.user_id}", {"role": "operator"})
    assert (member["email"], member["role"]) == ("ana@acme.test", "operator")
    assert caller.call("PATCH", rename, {"name": "renamed"})["name"] == "renamed"
    assert owner.call("DELETE", path, status=409)["code"] == "team_owns_groups"
    listed = owner.call("GET", f"device-groups?team_id={team['id']}")["items"]
    assert [group["name"] for group in listed] == ["acme-group"]
    owner.call("POST", f"device-groups/{acme.group.id}:take-from-team", {})
    assert caller.call("GET", "devices")["items"] == []
    owner.call("DELETE", f"{path}/members/{ana.user_id}", status=204)
    assert owner.call("GET", f"{path}/members")["items"] == []
    assert owner.call("PATCH", path, {"description": "Benches"})["description"] == "Benches"
    owner.call("DELETE", path, status=204)
    assert owner.call("GET", path, status=404)["code"] == "not_found"


def test_roles_over_rest(acme: Cast, owner: Caller) -> None:
    listed = owner.call("GET", "roles")["items"]
    assert [role["id"] for role in listed] == [role.value for role in Role]
    assert listed[0]["member_count"] == 1
    body = {"name": "Night shift", "permissions": ["devices.view_devices"]}
    role = owner.call("POST", "roles", body, 201)
    assert owner.call("POST", "roles", body, 409)["code"] == "role_name_taken"
    path = f"roles/{role['id']}"
    changed = owner.call("PATCH", path, {"permissions": ["devices.update_device"]})
    assert changed["permissions"] == ["devices.update_device"]
    assert owner.call("PATCH", path, {"description": "d"})["permissions"] == changed["permissions"]
    assert owner.call("GET", "roles/viewer")["is_built_in"] is True
    assert owner.call("GET", "roles/nobody", status=404)["code"] == "not_found"
    refused = owner.call("POST", "roles", {"name": "X", "permissions": ["devices.fly"]}, 400)
    assert refused["errors"][0]["code"] == "unknown_permission"
    owner.call("DELETE", path, status=204)
    first = owner.call("GET", "permissions?page_size=2")
    second = owner.call("GET", f"permissions?page_size=2&page_token={first['next_page_token']}")
    names = [each["name"] for each in (*first["items"], *second["items"])]
    assert names == sorted(set(names))
    assert owner.call("GET", "permissions?page_token=x", status=400)["code"] == "invalid_page_token"


def test_grants_and_explanations_over_rest(acme: Cast, owner: Caller, ana: Membership) -> None:
    caller = Caller(ana)
    asked = f"access:explain?user_id={ana.user_id}&device_id={acme.device.id}"
    asked += "&permission=devices.view_devices"
    (answer,) = owner.call("GET", asked)["items"]
    assert answer["allowed"] is False
    assert "not in any team that owns a group of this device" in answer["because"]
    on = {"user_id": str(ana.user_id), "device_group_id": str(acme.group.id)}
    given = owner.call("POST", "access:grant", {**on, "permissions": ["devices.view_devices"]})
    assert (given["object_kind"], given["object_name"]) == ("device_group", "acme-group")
    (answer,) = owner.call("GET", asked)["items"]
    assert answer["because"] == ["granted on the group acme-group"]
    own = f"access:explain?device_id={acme.device.id}&permission=devices.view_devices"
    assert caller.call("GET", own)["items"][0]["allowed"] is True
    alice = f"access:explain?user_id={uuid7()}"
    assert caller.call("GET", alice, status=403)["code"] == "permission_denied"
    grants = owner.call("GET", f"access-grants?device_group_id={acme.group.id}")["items"]
    assert [grant["email"] for grant in grants] == ["ana@acme.test"]
    owner.call("POST", "access:revoke", on)
    assert owner.call("GET", "access-grants")["items"] == []
    both = {**on, "team_id": str(uuid7())}
    assert owner.call("POST", "access:revoke", both, 400)["errors"][0]["code"] == "one_object"
    two = f"access:explain?device_id={acme.device.id}&team_id={uuid7()}"
    assert owner.call("GET", two, status=400)["errors"][0]["code"] == "one_object"


def test_the_document_describes_every_address() -> None:
    paths = build_document()["paths"]
    for path in ("teams", "teams/{id}", "roles/{id}", "permissions", "access-grants"):
        assert f"/api/v1/{path}" in paths
    assert "get" in paths["/api/v1/access:explain"]


async def test_over_rpc(transactional_db: None) -> None:
    def prepared() -> tuple[str, str, UUID]:
        acme = factories.cast("Acme")
        boss = factories.membership(acme.id, factories.user("alice@acme.test"), Role.OWNER)
        member = person(acme.id, "ana@acme.test")
        return factories.api_key(boss), factories.api_key(member), member.user_id

    boss, member, user_id = await sync_to_async(prepared)()
    service = "public.v1.OrganizationService"
    async with open_doors() as doors:

        async def call(key: str, method: str, request: Any, response: Any) -> Any:
            headers = {"authorization": f"Bearer {key}"}
            return await doors.call("grpc", f"{service}/{method}", request, response, headers)

        made = await call(
            boss, "CreateTeam", pb.CreateTeamRequest(name="Lab"), pb.CreateTeamResponse
        )
        team_id = made.response.team.id
        added = pb.AddTeamMembersRequest(team_id=team_id, user_ids=[str(user_id)], role="viewer")
        got = await call(boss, "AddTeamMembers", added, pb.AddTeamMembersResponse)
        assert got.response.team.member_count == 1
        asked = pb.ExplainAccessRequest(user_id=str(user_id), team_id=team_id)
        told = await call(boss, "ExplainAccess", asked, pb.ExplainAccessResponse)
        allowed = {i.permission for i in told.response.items if i.allowed}
        assert "teams.view_teams" in allowed
        assert "teams.update_team" not in allowed
        refused = await call(
            member, "CreateTeam", pb.CreateTeamRequest(name="x"), pb.CreateTeamResponse
        )
        assert (refused.status, refused.code) == ("PERMISSION_DENIED", "permission_denied")
        listed = await call(boss, "ListRoles", pb.ListRolesRequest(), pb.ListRolesResponse)
        assert [r.id for r in listed.response.items][:2] == ["owner", "admin"]
        on = pb.RevokeAccessRequest(user_id=str(user_id), team_id=str(uuid7()))
        missing = await call(boss, "RevokeAccess", on, pb.RevokeAccessResponse)
        assert missing.status == "NOT_FOUND"
