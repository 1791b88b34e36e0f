"""A filter that was read: the query, the same for one record, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import Any, Protocol

from django.db.models import Q

from apps.core.filters.fields import Field, Fields
from apps.core.filters.kinds import BadValue
from apps.core.filters.parser import parsed
from apps.core.filters.syntax import And, Clause, Leaf, Node, Not, Or, Word, leaves


class Context(Protocol):
    """What a filter is asked in: the time, and whatever the kinds of its fields need besides."""

    @property
    def now(self) -> datetime:
        """The time that ages are counted from."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The least context."""

    now: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """What one comparison of a filter says of one record; `actual` is the record's own value."""

    text: str
    column: int
    holds: bool
    actual: Any


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter. Its text (`str`) reads back as the same filter."""

    root: Node
    fields: Fields

    def __str__(self) -> str:
        return str(self.root)

    def to_q(self, context: Context) -> Q:
        """The rows that match, each comparison true or false for every row."""
        return _query(self.root, self.fields, context)

    def matches(self, record: Any, context: Context) -> bool:
        """Whether one record matches: what `to_q` says of it."""
        return _holds(self.root, self.fields, record, context)

    def findings(self, record: Any, context: Context) -> list[Finding]:
        """Each comparison with the record's own value, from left to right."""
        return [
            Finding(
                str(leaf),
                leaf.column,
                _holds(leaf, self.fields, record, context),
                leaf.field.read(record, leaf.key) if isinstance(leaf, Clause) else None,
            )
            for leaf in leaves(self.root)
        ]

    def clauses(self) -> Iterator[Clause]:
        """The comparisons with fields, from left to right."""
        return (leaf for leaf in leaves(self.root) if isinstance(leaf, Clause))


def parse(text: str, fields: Fields) -> Filter:
    """Reads a filter. Raises `FilterError`, whatever the text is."""
    return Filter(parsed(text, fields), fields)


def _query(node: Node, fields: Fields, context: Context) -> Q:
    match node:
        case And(children):
            return reduce(and_, (_query(child, fields, context) for child in children))
        case Or(children):
            return reduce(or_, (_query(child, fields, context) for child in children))
        case Not(child):
            return ~_query(child, fields, context)
    return reduce(or_, (_clause_query(clause, context) for clause in _clauses(node, fields)))


def _clause_query(clause: Clause, context: Context) -> Q:
    field = clause.field
    source = field.source(clause.key) if callable(field.source) else field.source
    return field.kind.condition(source, clause.operator, clause.literal, clause.value, context)


def _holds(node: Node, fields: Fields, record: Any, context: Context) -> bool:
    match node:
        case And(children):
            return all(_holds(child, fields, record, context) for child in children)
        case Or(children):
            return any(_holds(child, fields, record, context) for child in children)
        case Not(child):
            return not _holds(child, fields, record, context)
    return any(_clause_holds(clause, record, context) for clause in _clauses(node, fields))


def _clause_holds(clause: Clause, record: Any, context: Context) -> bool:
    actual = clause.field.read(record, clause.key)
    if actual is None or actual == "" or actual == [] or actual == {}:
        return False
    if clause.literal.is_any:
        return True
    kind = clause.field.kind
    return kind.holds(actual, clause.operator, clause.literal, clause.value, context)


def _clauses(leaf: Leaf, fields: Fields) -> list[Clause]:
    """The comparison, or those that a lone word stands for."""
    return [leaf] if isinstance(leaf, Clause) else _word_clauses(leaf, fields)


def _word_clauses(word: Word, fields: Fields) -> list[Clause]:
    found = []
    for field in fields.searched:
        value = _value(field, word)
        if value is not None:
            found.append(Clause(field, "", ":", word.literal, value))
    return found


def _value(field: Field, word: Word) -> Any:
    try:
        return field.kind.parsed(word.literal)
    except BadValue:
        return None
