"""Words of the audit trail and the request log."""

from dataclasses import dataclass
from datetime import datetime
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
