"""A failure looks the same through every protocol."""

from typing import Any, ClassVar

import pytest
from django.db import OperationalError

from apps.core.errors import STATUS, FieldError, FleetdError, InvalidRequest, Kind, TooMany
from fleetd.pb.public.v1 import organization_pb2 as pb
from tests.rpc.doors import PROTOCOLS, Answer, Doors

METHOD = "public.v1.OrganizationService/GetOrganization"
SECRET = "password=hunter2 host=db.internal"


class Raising:
    """Fails as the test says."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def get_organization(self, request: Any, ctx: Any) -> Any:
        raise self.error


async def call(doors: Doors, protocol: str, headers: dict[str, str] | None = None) -> Answer:
    request = pb.GetOrganizationRequest(id="x")
    return await doors.call(protocol, METHOD, request, pb.GetOrganizationResponse, headers)


def failure(failure_kind: Kind) -> FleetdError:
    class Failure(FleetdError):
        kind: ClassVar[Kind] = failure_kind
        code: ClassVar[str] = "some_code"
        default_message: ClassVar[str] = "What happened."

    return Failure(data={"limit": 3})


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", Kind)
async def test_each_kind_of_failure_has_its_code_on_every_protocol(
    probe: Any, protocol: str, kind: Kind
) -> None:
    async with probe(Raising(failure(kind))) as doors:
        answer = await call(doors, protocol)
    assert answer.status == STATUS[kind].grpc
    assert answer.code == "some_code"
    assert answer.message == "What happened."
    assert answer.metadata["limit"] == "3"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_bug_is_internal_and_says_nothing_but_the_request_id(
    probe: Any, protocol: str
) -> None:
    async with probe(Raising(RuntimeError(SECRET))) as doors:
        answer = await call(doors, protocol, {"Request-Id": "my-request-1"})
    assert (answer.status, answer.code) == ("INTERNAL", "internal_error")
    assert "hunter2" not in repr(answer)
    assert "my-request-1" in answer.message
    assert answer.request_id == "my-request-1"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_database_that_is_away_is_unavailable(probe: Any, protocol: str) -> None:
    async with probe(Raising(OperationalError(SECRET))) as doors:
        answer = await call(doors, protocol)
    assert (answer.status, answer.code) == ("UNAVAILABLE", "unavailable")
    assert "hunter2" not in repr(answer)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_bad_fields_are_named(probe: Any, protocol: str) -> None:
    error = InvalidRequest(fields=[FieldError("name", "too_long", "It is too long.")])
    async with probe(Raising(error)) as doors:
        answer = await call(doors, protocol)
    assert answer.fields == ["name"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_method_that_nobody_answers_is_unimplemented(probe: Any, protocol: str) -> None:
    async with probe(object()) as doors:
        answer = await call(doors, protocol)
    assert answer.status == "UNIMPLEMENTED"


async def test_waiting_time_is_told_in_a_header(probe: Any) -> None:
    async with probe(Raising(TooMany(retry_after_seconds=7))) as doors:
        got = await doors.web.post(f"/{METHOD}", json={"id": "x"})
    assert (got.status_code, got.headers["retry-after"]) == (429, "7")


async def test_a_request_id_that_is_no_plain_word_is_replaced(probe: Any) -> None:
    async with probe(Raising(TooMany())) as doors:
        answer = await call(doors, "connect-json", {"Request-Id": "a b <script>"})
    assert answer.request_id.startswith("req_")
