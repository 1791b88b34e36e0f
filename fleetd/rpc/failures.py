"""From any exception to what a client may see of it."""

import structlog
from connectrpc.code import Code
from connectrpc.errors import ConnectError, ErrorDetail
from google.protobuf import any_pb2
from protobuf.wkt import Any as WireAny

from apps.core.errors import STATUS, FleetdError, InvalidRequest, Kind, TooMany, Unavailable
from apps.core.rpc import DATABASE_AWAY
from fleetd.rpc import details

log = structlog.get_logger(__name__)

UNREADABLE = "The request cannot be read: it is no such message."
# How the library's texts begin where the client broke the protocol; gRPC calls that internal.
PROTOCOL_ERROR = "protocol error:"
TOO_LARGE = "The request is too large."
# What the protocol libraries themselves raise before a servicer runs. Their texts quote library
# exceptions, so clients get ours instead.
_LIBRARY = {
    Code.INVALID_ARGUMENT: (InvalidRequest.code, UNREADABLE),
    Code.RESOURCE_EXHAUSTED: (TooMany.code, TOO_LARGE),
    Code.UNIMPLEMENTED: ("unimplemented", "There is no such method here."),
    Code.CANCELED: ("cancelled", "The call was cancelled."),
    Code.DEADLINE_EXCEEDED: ("deadline_exceeded", "The call did not finish in time."),
}


class Failure(ConnectError):
    """An error as it goes to the client, on any protocol."""

    def __init__(self, code: Code, reason: str, message: str, packed: list[any_pb2.Any]) -> None:
        self.reason = reason
        self.packed = packed
        self.retry_after_seconds: int | None = None
        wire = [ErrorDetail(WireAny(type_url=a.type_url, value=a.value)) for a in packed]
        super().__init__(code, message, wire)


def failure_of(error: BaseException, request_id: str) -> Failure:
    """How `error` looks from outside. What is not ours is logged and shown as internal."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, FleetdError):
        return _coded(error, request_id)
    if isinstance(error, DATABASE_AWAY):
        log.warning("database_away", error=str(error))
        return _coded(Unavailable(retry_after_seconds=1), request_id)
    if isinstance(error, ConnectError) and error.code in _LIBRARY:
        reason, message = _LIBRARY[error.code]
        return _failure(error.code, reason, message, {"request_id": request_id})
    if isinstance(error, ConnectError) and error.message.startswith(PROTOCOL_ERROR):
        return _failure(
            Code.INVALID_ARGUMENT, InvalidRequest.code, UNREADABLE, {"request_id": request_id}
        )
    log.error("rpc_failed", exc_info=error)
    message = f"Internal error. Quote the request id {request_id} when you report it."
    return _failure(Code.INTERNAL, "internal_error", message, {"request_id": request_id})


def _coded(error: FleetdError, request_id: str) -> Failure:
    code = Code[STATUS[error.kind].grpc]
    if error.kind is Kind.BUG:
        log.error("rpc_failed", exc_info=error)
    failure = _failure(code, error.code, error.message, {**error.data, "request_id": request_id})
    if error.fields:
        failure = Failure(
            code, error.code, error.message, [*failure.packed, details.bad_request(error.fields)]
        )
    if error.retry_after_seconds is not None:
        retry = details.retry_info(error.retry_after_seconds)
        failure = Failure(code, error.code, error.message, [*failure.packed, retry])
        failure.retry_after_seconds = error.retry_after_seconds
    return failure


def _failure(code: Code, reason: str, message: str, metadata: dict[str, object]) -> Failure:
    return Failure(code, reason, message, [details.error_info(reason, metadata)])
