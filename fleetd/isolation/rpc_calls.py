"""RPCs in this process, through the registry, as the doors call them."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from connectrpc.errors import ConnectError
from connectrpc.request import Headers
from django.db import DataError, connections, transaction
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.text_format import MessageToString

from apps.core.actors import Call
from apps.core.errors import FleetdError
from apps.core.rest.messages import fill
from apps.core.rpc import CALLER, Caller, orm
from fleetd.isolation.answers import Answer
from fleetd.isolation.furniture import ADDRESS
from fleetd.isolation.positions import IdField, id_fields
from fleetd.rpc import validation
from fleetd.rpc.authentication import Credentials, authenticate
from fleetd.rpc.naming import snake
from fleetd.rpc.registry import SERVICES, Service

FIRST_WORD_SECONDS = 0.3


@dataclass(frozen=True)
class Method:
    """One RPC of the registry."""

    service: Service
    descriptor: MethodDescriptor

    @property
    def name(self) -> str:
        """As in paths."""
        return f"{self.service.name}/{self.descriptor.name}"

    @property
    def operation(self) -> str:
        """As the public operation is called."""
        return snake(self.descriptor.name)

    @property
    def fields(self) -> list[IdField]:
        """Where its request names objects."""
        return id_fields(self.descriptor.input_type)

    def request(self, body: dict[str, Any]) -> Message:
        """A request with these fields."""
        message = GetMessageClass(self.descriptor.input_type)()
        fill(message, body, [])
        return message


def methods() -> list[Method]:
    """Every unary and server-streaming RPC of the registry."""
    return [Method(s, m) for s in SERVICES for m in s.descriptor.methods]


class Undone:
    """Takes back what RPCs do inside: they all work in the one thread that has a connection."""

    async def __aenter__(self) -> None:
        await orm(None, self._begin)

    async def __aexit__(self, *_: object) -> None:
        await orm(None, self._end)

    def _begin(self) -> None:
        _hold_connection()
        self._atomic = transaction.atomic()
        self._atomic.__enter__()

    def _end(self) -> None:
        transaction.set_rollback(True)
        self._atomic.__exit__(None, None, None)
        _release_connection()


def _hold_connection() -> None:
    """Keeps `orm` from giving back a connection that is in a transaction of ours."""
    wrapper: Any = connections["default"]
    if not wrapper.in_atomic_block:
        wrapper.ensure_connection()
        wrapper.settings_dict = {**wrapper.settings_dict, "AUTOCOMMIT": False}
        wrapper.close_at, wrapper.health_check_enabled = None, False


def _release_connection() -> None:
    wrapper: Any = connections["default"]
    if not wrapper.in_atomic_block:
        wrapper.settings_dict = {**wrapper.settings_dict, "AUTOCOMMIT": True}


async def ask(servicer: object, method: Method, key: str, body: dict[str, Any]) -> Answer:
    """One call with a credential; of a stream, its first word."""
    call = Call(method.service.source, ADDRESS, f"req_{uuid4().hex}")
    caller = Caller(call, method.name)
    CALLER.set(caller)
    try:
        request = method.request(body)
        if method.service.credentials is Credentials.PUBLIC:
            headers = Headers({"authorization": f"Bearer {key}"})
            caller.actor = await authenticate(Credentials.PUBLIC, headers, call)
        validation.check(request)
        said = await _said(getattr(servicer, method.operation), method, request)
    except FleetdError as error:
        return Answer(error.kind.name, "", _words(error))
    except ConnectError as error:
        return Answer(error.code.name, "", error.message)
    except DataError:
        return Answer("INVALID", "", "")
    except Exception as error:  # noqa: BLE001  whatever else comes is a crash of the product
        return Answer(f"crash: {type(error).__name__}", "", str(error))
    return Answer("OK", "", said)


async def _said(function: Any, method: Method, request: Message) -> str:
    if not method.descriptor.server_streaming:
        return MessageToString(await function(request, None))
    stream = function(request, None)
    try:
        return MessageToString(await asyncio.wait_for(anext(stream), FIRST_WORD_SECONDS))
    except (TimeoutError, StopAsyncIteration):
        return ""
    finally:
        await stream.aclose()


def _words(error: FleetdError) -> str:
    fields = " ".join(f"{each.field}:{each.code}:{each.message}" for each in error.fields)
    return f"{error.code} {error.message} {fields} {error.data}"
