"""internal.agent.v1.EnrollmentService on the web port."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from fleetd.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd.rpc import web
from tests.enrollment.conftest import Machine, csr

PATH = "/internal.agent.v1.EnrollmentService/Enroll"
pytestmark = pytest.mark.django_db(transaction=True)


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the path was not answered")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(web.with_rpc(_nothing))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
        yield opened


@pytest.fixture
def secret(new_token: Callable[..., Any]) -> str:
    return str(new_token().secret)


async def enroll(client: httpx.AsyncClient, **values: Any) -> httpx.Response:
    message = pb.EnrollRequest(
        **{"csr_pem": csr(Machine().key), "hardware_id": "hw-1", "hostname": "pump-7", **values}
    )
    headers = {"content-type": "application/proto", "connect-protocol-version": "1"}
    return await client.post(PATH, content=message.SerializeToString(), headers=headers)


async def test_a_device_enrolls(client: httpx.AsyncClient, secret: str, settings: Any) -> None:
    response = await enroll(client, token=secret, inventory=pb.Inventory(os_name="Debian"))
    assert response.status_code == 200, response.text
    answer = pb.EnrollResponse.FromString(response.content)
    assert answer.status == pb.ENROLLMENT_STATUS_ACCEPTED
    assert answer.certificate_chain_pem.count("BEGIN CERTIFICATE") == 2
    assert answer.root_pem.count("BEGIN CERTIFICATE") == 1
    assert answer.agent_address == str(settings.AGENT_EXTERNAL_ADDRESS)


async def test_a_wrong_token_is_unauthenticated(client: httpx.AsyncClient) -> None:
    response = await enroll(client, token="fld_enr_wrong")
    assert response.status_code == 401
    assert response.headers["fleetd-code"] == "enrollment_token_invalid"


async def test_a_used_up_token_says_so(client: httpx.AsyncClient, secret: str) -> None:
    await enroll(client, token=secret)
    response = await enroll(client, token=secret, csr_pem=csr(), hardware_id="hw-2")
    assert response.headers["fleetd-code"] == "enrollment_token_used_up"


async def test_missing_values_are_refused_by_name(client: httpx.AsyncClient, secret: str) -> None:
    response = await enroll(client, token=secret, hardware_id="")
    assert response.status_code == 400
    assert "hardware_id" in response.text


async def test_random_bytes_are_refused(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/proto", "connect-protocol-version": "1"}
    response = await client.post(PATH, content=b"\xff" * 100, headers=headers)
    assert response.status_code == 400


async def test_public_credentials_are_refused(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json", "x-api-key": "fld_pat_x"}
    response = await client.post(PATH, content=b"{}", headers=headers)
    assert response.status_code == 401
