"""Words of the audit trail and the request log."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_DENIED = {
    "401", "403", "429", "4401", "4404", "4429", "unauthenticated", "permission_denied",
    "resource_exhausted", "too_many_requests",
}  # fmt: skip
_ERRORS = {"internal", "internal_error", "unknown", "data_loss"}


class CallResult(StrEnum):
    """How a call ended."""

    OK = "ok"
    DENIED = "denied"  # not known, not allowed, too much
    FAILED = "failed"  # the request was not right, or came at the wrong time
    ERROR = "error"  # ours


@dataclass(frozen=True, slots=True)
class Answered:
    """One call as it ended. `route` is a template or an RPC's full name, never a raw address."""

    method: str
    route: str
    status: str
    code: str = "ok"
    object_id: str = ""
    seconds: float = 0.0

    @property
    def result(self) -> CallResult:
        """What an HTTP status, a WebSocket's close code or an RPC status comes to."""
        status, code = self.status.lower(), self.code
        if code in ("", "ok") and not status.startswith(("4", "5")):
            return CallResult.OK
        if status in _DENIED or code in _DENIED or status.startswith("3"):
            return CallResult.DENIED
        if status.startswith("5") or status in _ERRORS or code in _ERRORS:
            return CallResult.ERROR
        return CallResult.FAILED


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries are asked for; what is empty does not narrow."""

    action: str = ""
    action_prefix: str = ""
    actor_id: str = ""
    actor: str = ""  # the beginning of the label
    object_id: str = ""
    object_type: str = ""
    result: str = ""
    source: str = ""
    request_id: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def __bool__(self) -> bool:
        """Whether anything narrows."""
        return any(getattr(self, name) for name in self.__slots__)
