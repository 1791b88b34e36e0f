"""How an entry looks in the list: its changes as before and after, a link to its object."""

import json
from dataclasses import dataclass
from typing import Any

from django.urls import NoReverseMatch, reverse

from apps.audit.domain.redaction import one_line

MAX_SHOWN = 600
# Kinds of objects that have a page; the others have their history only.
PAGES = {
    "device": "device",
    "device_group": "device-group",
    "rollout": "rollout",
    "release": "release",
    "enrollment_token": "enrollment-token",
    "team": "team",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One field, with its value before where it had one."""

    name: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class Row:
    """One entry as the list shows it."""

    entry: Any
    changes: tuple[Change, ...]
    object_url: str

    @property
    def id(self) -> Any:
        """The entry's."""
        return self.entry.id

    @property
    def has_before(self) -> bool:
        """Whether anything had a value before."""
        return any(change.before is not None for change in self.changes)

    @classmethod
    def of(cls, entry: Any) -> "Row":
        """The row of an entry."""
        changes = tuple(change_of(name, value) for name, value in sorted(entry.changes.items()))
        return cls(entry, changes, page_of_object(entry))


def change_of(name: str, value: Any) -> Change:
    """[before, after] is a change; anything else is what something new has."""
    if isinstance(value, list) and len(value) == 2:
        return Change(one_line(name), shown(value[0]), shown(value[1]))
    return Change(one_line(name), None, shown(value))


def shown(value: Any) -> str:
    """A value in which nothing hides: one line, controls replaced, long ones cut."""
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        text = ", ".join(str(item) for item in value)
    elif isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False)
    return one_line(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")


def page_of_object(entry: Any) -> str:
    """The address of the object's own page, empty where it has none."""
    name = PAGES.get(entry.object_type)
    try:
        return reverse(name, args=[entry.object_id]) if name and entry.object_id else ""
    except NoReverseMatch:
        return ""
