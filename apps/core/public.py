"""Public operations: what REST and RPC offer, written once on protobuf messages.

`apps/<app>/public.py` holds functions `(actor, request message) -> response message` that read the
message, call one service or selector and say what came of it. REST and RPC are views of these.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar, get_type_hints
from uuid import UUID

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from apps.core.actors import Actor, Call
from apps.core.authz import OPEN_TO_ALL, Permission, needs
from apps.core.authz import SIGNED_IN as SIGNED_IN
from apps.core.errors import NotFound, invalid
from apps.core.ids import parse_uuid
from apps.core.pagination import PageRequest
from apps.core.rpc import current_actor, current_call, orm

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class Described:
    """What an operation is called and says of itself: its function's name and documentation."""

    __slots__ = ()

    function: Callable[..., Any]

    @property
    def name(self) -> str:
        """Its name in snake case, the same as the service's."""
        return self.function.__name__

    @property
    def summary(self) -> str:
        """The first paragraph of its documentation."""
        return (self.function.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")


@dataclass(frozen=True, slots=True)
class Operation(Described, Generic[Request, Response]):
    """One public operation with the permission that its service requires."""

    function: Callable[[Actor, Request], Response]
    permission: Permission
    request_class: type[Request]
    response_class: type[Response]
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What the document says of single fields of the request."""

    def __call__(self, actor: Actor, request: Request) -> Response:
        """Runs it, inside `tenant(actor.organization_id)`."""
        return self.function(actor, request)


@dataclass(frozen=True, slots=True)
class OpenOperation(Described, Generic[Request, Response]):
    """One public operation that is asked before anybody is known: signing in and its kin."""

    function: Callable[[Call, Request], Response]
    request_class: type[Request]
    response_class: type[Response]

    permission = OPEN_TO_ALL
    parameters: ClassVar[Mapping[str, str]] = {}

    def __call__(self, call: Call, request: Request) -> Response:
        """Runs it, in no organization and no transaction: a refusal must not undo its record."""
        return self.function(call, request)


def open_operation(
    function: Callable[[Call, Request], Response],
) -> OpenOperation[Request, Response]:
    """Makes an open operation of a function whose annotations name its two messages."""
    hints = get_type_hints(function)
    return OpenOperation(function, hints["request"], hints["return"])


def operation(
    permission: Permission, **parameters: str
) -> Callable[[Callable[[Actor, Request], Response]], Operation[Request, Response]]:
    """Makes a public operation of a function whose annotations name its two messages.

    Fields of the request that need words in the document are described by name.
    """

    def decorate(function: Callable[[Actor, Request], Response]) -> Operation[Request, Response]:
        hints = get_type_hints(function)
        return Operation(function, permission, hints["request"], hints["return"], parameters)

    return decorate


def unary(operation: Operation[Request, Response]) -> Any:
    """The RPC method of an operation, for a servicer class."""

    @needs(operation.permission)
    async def method(self: object, request: Request, ctx: object) -> Response:
        actor = current_actor()
        return await orm(actor, operation, actor, request)

    method.__name__ = operation.name
    method.__doc__ = operation.function.__doc__
    return method


def open_unary(operation: OpenOperation[Request, Response]) -> Any:
    """The RPC method of an open operation; `fleetd.rpc` names those that it lets in unasked."""

    async def method(self: object, request: Request, ctx: object) -> Response:
        return await orm(None, operation, current_call(), request)

    method.__name__ = operation.name
    method.__doc__ = operation.function.__doc__
    method.is_open = True  # type: ignore[attr-defined]
    return method


def id_of(text: str) -> UUID:
    """An id in a request; what is no id cannot exist."""
    found = parse_uuid(text)
    if found is None:
        raise NotFound
    return found


def ids_of(texts: Any, field: str) -> list[UUID]:
    """Several ids in a request's field."""
    found = [parse_uuid(text) for text in texts]
    if None in found:
        raise invalid(field, "invalid_id", f"{field} holds something that is no id.")
    return [item for item in found if item is not None]


def page_of(request: Any) -> PageRequest:
    """Which page a list request asks for."""
    return PageRequest.of(request.page_size, request.page_token)


def timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment for a message; None leaves the field unset."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def enum_value(kind: Any, value: str) -> Any:
    """The number of our word `active` in a proto enum, as `LIFECYCLE_ACTIVE`; 0 for none."""
    return _numbers(kind).get(value, 0)


def enum_word(kind: Any, number: int) -> str:
    """The reverse of `enum_value`; empty for the unspecified value."""
    return next((w for w, n in _numbers(kind).items() if n == number and n), "")


def _numbers(kind: Any) -> dict[str, int]:
    """Word to number of an enum, whose values all begin with its first value's prefix."""
    descriptor = kind.DESCRIPTOR
    found = _NUMBERS.get(descriptor.full_name)
    if found is None:
        prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
        found = {v.name.removeprefix(prefix).lower(): v.number for v in descriptor.values}
        _NUMBERS[descriptor.full_name] = found
    return found


_NUMBERS: dict[str, dict[str, int]] = {}
