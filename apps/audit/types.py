"""Words of the audit trail and the request log."""

from dataclasses import dataclass
from enum import StrEnum


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
