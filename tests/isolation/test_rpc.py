"""The isolation matrix of RPC, generated from the service descriptors."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from asgiref.sync import sync_to_async
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from apps.core.authz import permission_needed
from apps.core.ids import uuid7
from apps.core.rest.messages import fill
from apps.organizations.models import Membership
from fleetd.rpc.authentication import Credentials
from fleetd.rpc.naming import snake
from fleetd.rpc.registry import SERVICES, WITHOUT_PERMISSION, undeclared_methods
from tests import factories
from tests.factories import Cast
from tests.isolation.world import (
    BODIES,
    IdField,
    furnish,
    id_fields,
    stored_checksums,
    with_own_ids,
)
from tests.rpc.doors import Doors


@dataclass(frozen=True)
class Method:
    """One public RPC."""

    descriptor: MethodDescriptor

    @property
    def name(self) -> str:
        """As in paths."""
        return f"{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def fields(self) -> list[IdField]:
        """Where its request names objects."""
        return id_fields(self.descriptor.input_type)

    def request(self, body: dict[str, Any]) -> Message:
        """A request with these fields."""
        message = GetMessageClass(self.descriptor.input_type)()
        fill(message, body, [])
        return message

    def body(self) -> dict[str, Any]:
        """What it needs besides ids."""
        return BODIES.get(snake(self.descriptor.name), {})


METHODS = [
    Method(method)
    for service in SERVICES
    if service.credentials is Credentials.PUBLIC
    for method in service.descriptor.methods
]


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> None:
    """Artifacts lie in a folder of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path}"


@pytest.fixture
def key(transactional_db: None, alice_member: Membership) -> str:
    """Alice's key."""
    return factories.api_key(alice_member)


@pytest.fixture
def own(transactional_db: None, acme: Cast, alice_member: Membership) -> dict[str, str]:
    """One of everything of acme."""
    return furnish(acme, alice_member)


@pytest.fixture
def foreign(transactional_db: None, globex: Cast, charlie_member: Membership) -> dict[str, str]:
    """One of everything of globex."""
    return furnish(globex, charlie_member)


async def ask(doors: Doors, key: str, method: Method, body: dict[str, Any]) -> tuple[str, str, str]:
    """Status, code and message of a call; of a stream, those of its first word."""
    request = method.request(body)
    headers = {"authorization": f"Bearer {key}"}
    answer_class = GetMessageClass(method.descriptor.output_type)
    if not method.descriptor.server_streaming:
        answer = await doors.call("grpc", method.name, request, answer_class, headers)
        return answer.status, answer.code, answer.message or str(answer.response)
    call = doors.channel.unary_stream(
        f"/{method.name}",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=answer_class.FromString,
    )(request, metadata=tuple(headers.items()), timeout=1)
    try:
        return "OK", "", str(await call.read())
    except grpc.aio.AioRpcError as error:
        is_open = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return ("OK", "", "") if is_open else (error.code().name, "", error.details() or "")
    finally:
        call.cancel()


def combinations(method: Method, own: dict[str, str]) -> Iterator[tuple[IdField, dict[str, Any]]]:
    """Each id field, with bodies in which the other id fields name own objects."""
    is_list = method.descriptor.name.startswith("List")
    request = method.descriptor.input_type
    base = method.body() if is_list else with_own_ids(method.body(), request, own)
    ids = [field for field in method.fields if field.path == ("id",)]
    for field in method.fields:
        bodies = [other.put(base, own[k]) for other in ids for k in ("group", "device")]
        for body in bodies if field not in ids and ids else [base]:
            yield field, body


async def test_an_id_of_another_organization_is_one_that_never_was(
    doors: Doors, key: str, own: dict[str, str], foreign: dict[str, str]
) -> None:
    await ask(doors, key, METHODS[0], {})  # the key's first use is noted
    before = await sync_to_async(stored_checksums)()
    found = []
    for method in METHODS:
        for field, body in combinations(method, own):
            nobody = str(uuid7())
            status, code, text = await ask(doors, key, method, field.put(body, nobody))
            expected = (status, code, text.replace(nobody, "_"))
            if field.path == ("id",) and status != "NOT_FOUND":
                found.append(f"{method.name} {field.path}: {expected}")
            for kind, value in foreign.items():
                status, code, text = await ask(doors, key, method, field.put(body, value))
                got = (status, code, text.replace(value, "_"))
                if got != expected:
                    found.append(f"{method.name} {field.path}={kind}: {got} is not {expected}")
    assert found == []
    assert await sync_to_async(stored_checksums)() == before


async def test_the_matrix_reaches_objects_with_their_own_ids(
    doors: Doors, key: str, own: dict[str, str]
) -> None:
    unreached = []
    # What deletes comes last, so that nothing is gone that others need.
    for method in sorted(METHODS, key=lambda m: m.descriptor.name.startswith("Delete")):
        if not any(field.path[-1] in ("id", "rollout_id") for field in method.fields):
            continue
        field = next(f for f in method.fields if f.path[-1] in ("id", "rollout_id"))
        is_list = method.descriptor.name.startswith("List")
        request = method.descriptor.input_type
        body = method.body() if is_list else with_own_ids(method.body(), request, own)
        statuses = set()
        for value in own.values():
            statuses.add((await ask(doors, key, method, field.put(body, value)))[0])
        if statuses <= {"NOT_FOUND"}:
            unreached.append(method.name)
    assert unreached == []


def test_every_method_declares_its_permission() -> None:
    assert undeclared_methods() == []
    assert len(METHODS) > 35


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_a_declaration_that_is_taken_away_is_missed(
    method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method.name in WITHOUT_PERMISSION:
        return
    service = next(s for s in SERVICES if s.descriptor is method.descriptor.containing_service)
    function = getattr(service.servicer(), snake(method.descriptor.name))
    assert permission_needed(function) is not None
    monkeypatch.delattr(getattr(function, "__func__", function), "fleetd_permission")
    assert undeclared_methods() == [method.name]
