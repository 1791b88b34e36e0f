"""What can stand where the cursor is, made from the same whitelist that the parser reads by."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from apps.core.filters.errors import FilterError
from apps.core.filters.fields import Field, Fields
from apps.core.filters.lexer import MAX_LENGTH, Shape, Token, quoted, tokens_of

MOST = 12
_AGES = ("-15m", "-1h", "-1d", "-7d", "-30d")
_MEANING = {
    "=": "equal to",
    "!=": "not equal to",
    "<": "less than",
    "<=": "at most",
    ">": "more than",
    ">=": "at least",
    ":": "has",
}
_NAMED = re.compile(r"-?([a-z_]+)(?:\.[\w.-]+)?\s*(!=|<=|>=|=|<|>|:)")
_JOINED = re.compile(r"(?:^|[\s(])(?:AND|OR|NOT)(?:[\s(]|$)")
_CALLED = re.compile(r"-?[a-z_]+\(")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something to write, and what it is."""

    text: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """Suggestions for the part of the text from `start` up to `end`, counted from 0."""

    start: int
    end: int
    items: list[Suggestion] = field(default_factory=list)
    is_due: bool = False
    """Whether something has to stand here, or was begun: otherwise one waits to be asked."""


class Source(Protocol):
    """Where values come from that only the data knows."""

    def values(self, field: Field, key: str) -> Iterable[str]:
        """Values of a field, the common ones first."""

    def keys(self, field: Field) -> Iterable[str]:
        """Keys of a field that takes one, the common ones first."""


@dataclass(slots=True)
class _Place:
    """What is expected after some tokens."""

    expects: str = "term"
    field: Field | None = None
    key: str = ""


def is_filter(text: str, fields: Fields) -> bool:
    """Whether somebody who typed this into a search box means a filter, not words to look for.

    `aa:bb:cc` is an address, `connectivity = offline` is not, and neither is a misspelt field.
    """
    if _JOINED.search(text) or text.lstrip().startswith(("(", "-(")) or _CALLED.match(text.strip()):
        return True
    return any(
        name in fields.heads or (operator != ":" and _is_alone(text, name))
        for name, operator in _NAMED.findall(text)
    )


def complete(text: str, cursor: int, fields: Fields, source: Source) -> Completion:
    """What can stand at the cursor; nothing where the text before it cannot be read."""
    before = text[: max(0, min(cursor, len(text), MAX_LENGTH))]
    try:
        tokens, partial, start = _split(before)
    except FilterError:
        return Completion(len(before), len(before))
    place = _place(tokens, fields)
    found = _suggestions(place, partial, fields, source)
    is_due = bool(partial) or place.expects in ("operator", "value", "key")
    return Completion(start, len(before), found[:MOST], is_due)


def _is_alone(text: str, name: str) -> bool:
    return text.strip().startswith((name, f"-{name}"))


def _split(before: str) -> tuple[list[Token], str, int]:
    """Whole tokens, and the beginning of one right before the cursor with its place."""
    try:
        tokens = tokens_of(before)[:-1]
    except FilterError as error:
        opening = error.column - 1
        if before[opening : opening + 1] not in ('"', "'"):
            raise
        return tokens_of(before[:opening])[:-1], before[opening + 1 :], opening
    last = tokens[-1] if tokens else None
    if last is None or last.end != len(before) or last.shape is not Shape.TEXT:
        return tokens, "", len(before)
    return tokens[:-1], last.text, last.column - 1


def _place(tokens: Sequence[Token], fields: Fields) -> _Place:
    place = _Place()
    for token in tokens:
        place = _after(place, token, fields)
    return place


def _after(place: _Place, token: Token, fields: Fields) -> _Place:
    if place.expects == "key":
        is_key = token.is_value
        return _Place(
            "key" if is_key else "operator", place.field, token.text if is_key else place.key
        )
    if token.shape is Shape.OPERATOR:
        return _Place("value", place.field, place.key)
    if token.shape is Shape.OPEN and place.field is not None and place.expects == "operator":
        return _Place("key", place.field)
    if token.shape in (Shape.OPEN, Shape.COMMA) or token.text in ("AND", "OR", "NOT"):
        return _Place()
    if place.expects == "value" or token.shape in (Shape.CLOSE, Shape.STRING):
        return _Place("joint")
    found, key = fields.resolved(token.text.lstrip("-"))
    return _Place("operator", found, key) if found else _Place("joint")


def _suggestions(place: _Place, partial: str, fields: Fields, source: Source) -> list[Suggestion]:
    if place.expects == "key" and place.field:
        keys = _matching(source.keys(place.field), partial)
        return [Suggestion(f"{quoted(key)})") for key in keys]
    if place.expects == "value":
        return _values(place, partial, source)
    if place.expects == "operator" and place.field:
        known = place.field.kind.operators
        return [Suggestion(each, _MEANING[each]) for each in known if each.startswith(partial)]
    joints = [Suggestion(word) for word in ("AND", "OR") if place.expects == "joint"]
    return [
        *(each for each in joints if each.text.startswith(partial.upper())),
        *_fields(partial, fields, source),
    ]


def _fields(partial: str, fields: Fields, source: Source) -> list[Suggestion]:
    minus, name = ("-", partial[1:]) if partial.startswith("-") else ("", partial)
    head, dot, rest = name.partition(".")
    keyed = fields.find_keyed(head, "member") if dot else None
    if keyed:
        keys = _matching(source.keys(keyed), rest)
        return [Suggestion(minus + keyed.written(key), keyed.help) for key in keys]
    names = _matching([field.name for field in fields], name)
    return [_field(minus, fields.by_name[name]) for name in names]


def _field(minus: str, found: Field) -> Suggestion:
    ending = {"member": ".", "function": "("}.get(found.keyed, "")
    return Suggestion(f"{minus}{found.name}{ending}", found.help)


def _values(place: _Place, partial: str, source: Source) -> list[Suggestion]:
    if place.field is None:
        return []
    kind = place.field.kind
    ages = _AGES if kind.name == "time" else ()
    known = kind.choices or ages or source.values(place.field, place.key)
    write = str if kind.is_bare else quoted
    return [Suggestion(write(each)) for each in _matching(known, partial)]


def _matching(names: Iterable[str], partial: str) -> list[str]:
    """Those that begin with what was typed, then those that contain it."""
    wanted = partial.lower()
    found = [name for name in names if wanted in name.lower()]
    return sorted(found, key=lambda name: not name.lower().startswith(wanted))
