"""The closed set of failures. Services raise them; doors translate them by table, never by hand.

A failure has a `kind`, which decides the status on every protocol, and a `code`, which is stable
and the same through every door, so that clients branch on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar


class Kind(StrEnum):
    """What the caller should do about a failure."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    STATE = "state"
    STALE = "stale"
    EXHAUSTED = "exhausted"
    UNAVAILABLE = "unavailable"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class Status:
    """How one kind of failure looks on each protocol: HTTP status, gRPC and Connect code."""

    http: int
    grpc: str
    title: str


STATUS: dict[Kind, Status] = {
    Kind.INVALID: Status(400, "INVALID_ARGUMENT", "The request is not valid"),
    Kind.UNAUTHENTICATED: Status(401, "UNAUTHENTICATED", "Sign in first"),
    Kind.DENIED: Status(403, "PERMISSION_DENIED", "Not allowed"),
    Kind.NOT_FOUND: Status(404, "NOT_FOUND", "Not found"),
    Kind.CONFLICT: Status(409, "ALREADY_EXISTS", "It already exists"),
    Kind.STATE: Status(409, "FAILED_PRECONDITION", "Not possible in this state"),
    Kind.STALE: Status(412, "ABORTED", "It has changed meanwhile"),
    Kind.EXHAUSTED: Status(429, "RESOURCE_EXHAUSTED", "Too much at once"),
    Kind.UNAVAILABLE: Status(503, "UNAVAILABLE", "Not available just now"),
    Kind.BUG: Status(500, "INTERNAL", "Internal error"),
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field; `field` is a dotted path into the request."""

    field: str
    code: str
    message: str


class FleetdError(Exception):
    """Base of all failures that a caller may see.

    `message` is safe to show. `data` holds the values in it, for machines. `retry_after_seconds`
    is set where waiting helps. `page` names the page where a person can do something about it:
    browsers are led there.
    """

    kind: ClassVar[Kind]
    code: ClassVar[str]
    default_message: ClassVar[str]
    page: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        data: Mapping[str, Any] | None = None,
        fields: Sequence[FieldError] = (),
        retry_after_seconds: int | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.data = dict(data or {})
        self.fields = tuple(fields)
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.message)


class InvalidRequest(FleetdError):
    kind, code = Kind.INVALID, "invalid_request"
    default_message = "The request is not valid."


class InvalidPageToken(FleetdError):
    kind, code = Kind.INVALID, "invalid_page_token"
    default_message = "The page token is not one that this list gave out."


class Unauthenticated(FleetdError):
    kind, code = Kind.UNAUTHENTICATED, "unauthenticated"
    default_message = "Sign in, or send an API key."


class PermissionDenied(FleetdError):
    kind, code = Kind.DENIED, "permission_denied"
    default_message = "You may not do this."


class RecentSignInRequired(FleetdError):
    """The act is dangerous enough to ask once more who is at the keyboard."""

    kind, code = Kind.DENIED, "recent_sign_in_required"
    default_message = "Confirm that it is you, then do it again."
    page = "account_reauthenticate"


class NotFound(FleetdError):
    """Also the answer for an object of another organization."""

    kind, code = Kind.NOT_FOUND, "not_found"
    default_message = "There is no such object."


class AlreadyExists(FleetdError):
    kind, code = Kind.CONFLICT, "already_exists"
    default_message = "There is one with this name already."


class WrongState(FleetdError):
    kind, code = Kind.STATE, "wrong_state"
    default_message = "This is not possible in the present state."


class OrganizationSuspended(WrongState):
    code = "organization_suspended"
    default_message = "This organization is suspended: nothing can be changed in it."


class OrganizationDeleting(WrongState):
    code = "organization_deleting"
    default_message = "This organization is being deleted. Its owners can still cancel that."


class Stale(FleetdError):
    kind, code = Kind.STALE, "stale"
    default_message = "It has changed since you read it."


class TooMany(FleetdError):
    kind, code = Kind.EXHAUSTED, "too_many_requests"
    default_message = "Too many requests."


class Unavailable(FleetdError):
    kind, code = Kind.UNAVAILABLE, "unavailable"
    default_message = "Not available just now. Try again shortly."


def invalid(field: str, code: str, message: str) -> InvalidRequest:
    """The failure for one bad field."""
    return InvalidRequest(message, fields=[FieldError(field, code, message)])
