"""What an address of the audit trail asks for."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _

from apps.audit.domain.redaction import one_line

# The name in the address and the field of the filter.
FILTERS = {
    "action": "action_prefix",
    "actor": "actor",
    "actor_id": "actor_id",
    "object_id": "object_id",
    "object_type": "object_type",
    "result": "result",
    "source": "source",
    "request_id": "request_id",
    "since": "since",
    "until": "until",
}
TIMES = ("since", "until")


def asked_of(query: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The filters in an address, and what is wrong with them in words."""
    asked = {name: one_line(query.get(name, "").strip(), 254) for name in FILTERS}
    problems = []
    for name in TIMES:
        if asked[name] and moment(asked[name]) is None:
            problems.append(_("“%(text)s” is no time.") % {"text": asked[name]})
            asked[name] = ""
    return asked, problems


def wanted_of(asked: Mapping[str, str]) -> dict[str, Any]:
    """The fields of an `EntryFilter`."""
    return {
        field: moment(asked[name]) if name in TIMES else asked[name]
        for name, field in FILTERS.items()
    }


def moment(text: str) -> datetime | None:
    """A time as people and browsers write it; without a zone it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
