"""Filters as links: what the newest matching entries have, and what is chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.audit.ui.wanted import FILTERS

WORDS: dict[str, str | Promise] = {
    "result": gettext_lazy("Result"),
    "source": gettext_lazy("Door"),
    "action": gettext_lazy("Area"),
    "object_type": gettext_lazy("Object"),
}
RESULTS = {"success": gettext_lazy("done"), "denied": gettext_lazy("refused")}
CHIPS: dict[str, str | Promise] = {
    "object_id": gettext_lazy("object"),
    "actor_id": gettext_lazy("by"),
    "request_id": gettext_lazy("request"),
}


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a facet, with the address that it leads to."""

    word: str
    url: str
    count: int
    is_on: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """One facet with its most frequent values."""

    word: str | Promise
    values: list[Value]


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that no facet shows, with the address without it."""

    word: str | Promise
    value: str
    url: str


def facets_of(
    counted: Mapping[str, list[tuple[str, int]]], asked: Mapping[str, str], extra: Mapping[str, str]
) -> list[Facet]:
    """The facets of a list; a chosen value leads back to the list without it."""
    found = []
    for name, word in WORDS.items():
        chosen = asked[name]
        values = dict(counted[FILTERS[name]])
        if chosen and chosen not in values and name != "action":
            values = {chosen: 0, **values}
        shown = [
            Value(
                _word(name, value),
                address_with({**asked, name: "" if value == chosen else value}, extra),
                count,
                value == chosen,
            )
            for value, count in values.items()
        ]
        found.append(Facet(word, shown))
    return found


def chips_of(asked: Mapping[str, str], extra: Mapping[str, str]) -> list[Chip]:
    """The other filters that are on."""
    return [
        Chip(word, asked[name], address_with({**asked, name: ""}, extra))
        for name, word in CHIPS.items()
        if asked[name]
    ]


def address_with(asked: Mapping[str, str], extra: Mapping[str, str]) -> str:
    """The list's address with these filters."""
    query = {name: value for name, value in {**asked, **extra}.items() if value}
    return f"?{urlencode(query)}"


def _word(name: str, value: str) -> str:
    if name == "result":
        return str(RESULTS.get(value, value))
    if name == "source":
        return {"ui": _("web"), "task": _("platform")}.get(value, value)
    return value.rstrip(".").replace("_", " ")
