"""The base of all events."""

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, get_type_hints
from uuid import UUID

_BY_TYPE: dict[str, type["Event"]] = {}


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened. Subclasses are frozen dataclasses of UUIDs, strings and numbers.

    `type` is the name on the wire, `<app>.<noun>.<what>.v1`. `topics` are the real-time topics
    whose readers should read again.
    """

    type: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Registers the subclass under its wire name."""
        super().__init_subclass__()
        if cls.type:
            _BY_TYPE[cls.type] = cls

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """Real-time topics that this event touches."""
        raise NotImplementedError

    def payload(self) -> dict[str, Any]:
        """The fields as JSON can hold them."""
        return {k: str(v) if isinstance(v, UUID) else v for k, v in asdict(self).items()}

    @classmethod
    def restore(cls, type_: str, payload: dict[str, Any]) -> "Event":
        """The event that `payload()` came from. Raises KeyError for an unknown type."""
        kind = _BY_TYPE[type_]
        hints = get_type_hints(kind)
        values = {
            f.name: UUID(payload[f.name])
            if hints[f.name] is UUID and f.name in payload
            else payload.get(f.name)
            for f in fields(kind)
        }
        return kind(**values)
