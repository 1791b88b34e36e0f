"""Signing in and the tokens of it, on every protocol."""

import pytest

from apps.organizations.models import Membership
from apps.organizations.services.authentication import forget_callers
from fleetd.pb.public.v1 import auth_pb2
from tests.factories import PASSWORD
from tests.rpc.doors import PROTOCOLS, Answer, Doors

AUTH = "public.v1.AuthService"


async def login(doors: Doors, protocol: str, password: str = PASSWORD) -> Answer:
    request = auth_pb2.LoginRequest(email="erin@acme.test", password=password, client="test")
    # What else comes along is not looked at: there is nobody yet.
    headers = {"authorization": "Bearer nonsense"}
    return await doors.call(protocol, f"{AUTH}/Login", request, auth_pb2.LoginResponse, headers)


async def me(doors: Doors, protocol: str, token: str) -> Answer:
    headers = {"authorization": f"Bearer {token}"}
    request, answer = auth_pb2.GetMeRequest(), auth_pb2.GetMeResponse
    return await doors.call(protocol, f"{AUTH}/GetMe", request, answer, headers)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_tokens_are_given_rotated_and_ended(
    doors: Doors, protocol: str, erin_member: Membership
) -> None:
    given = (await login(doors, protocol)).response
    assert (await me(doors, protocol, given.access_token)).response.email == "erin@acme.test"
    again = await doors.call(
        protocol,
        f"{AUTH}/Refresh",
        auth_pb2.RefreshRequest(refresh_token=given.refresh_token),
        auth_pb2.RefreshResponse,
    )
    token = again.response.access_token
    assert (await me(doors, protocol, token)).status == "OK"
    headers = {"authorization": f"Bearer {token}"}
    request, answer = auth_pb2.LogoutRequest(), auth_pb2.LogoutResponse
    assert (await doors.call(protocol, f"{AUTH}/Logout", request, answer, headers)).status == "OK"
    forget_callers()
    for ended in (token, given.access_token):
        refused = await me(doors, protocol, ended)
        assert (refused.status, refused.code) == ("UNAUTHENTICATED", "invalid_token")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_wrong_password_is_refused(
    doors: Doors, protocol: str, erin_member: Membership
) -> None:
    refused = await login(doors, protocol, "wrong")
    assert (refused.status, refused.code) == ("UNAUTHENTICATED", "invalid_credentials")
