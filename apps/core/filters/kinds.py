"""Kinds of values: what may be compared with them, as a query and in memory.

An absent value matches no comparison, not even `!=`; `NOT` is plain negation. So each condition
here is true or false for every row and never NULL.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import BooleanField, F, IntegerField, Q, TextField, Value
from django.db.models import Func as SqlFunction
from django.db.models.functions import Collate, StrIndex
from django.db.models.lookups import (
    Exact,
    GreaterThan,
    GreaterThanOrEqual,
    IsNull,
    LessThan,
    LessThanOrEqual,
    StartsWith,
)

from apps.core.filters.fields import nearest
from apps.core.filters.literals import Literal
from apps.core.filters.versions import ordered, version_key

_LOOKUPS: dict[str, Any] = {
    "=": Exact,
    "<": LessThan,
    "<=": LessThanOrEqual,
    ">": GreaterThan,
    ">=": GreaterThanOrEqual,
}
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FOLD = str.maketrans(_UPPER, _UPPER.lower())
LARGEST = 2**63 - 1


class BadValue(ValueError):
    """A value that a field cannot have; `suggestion` may be empty."""

    def __init__(self, problem: str, suggestion: str = "") -> None:
        super().__init__(problem)
        self.problem, self.suggestion = problem, suggestion


class Kind:
    """Base of all kinds: how a value is read, asked for and compared."""

    name: ClassVar[str]
    operators: ClassVar[tuple[str, ...]]
    values: ClassVar[str]
    """How values are written, for the reference page."""
    has_prefix: ClassVar[bool] = False
    has_parts: ClassVar[bool] = True
    """Whether `:` looks for something in a value; otherwise it takes `*` only."""
    is_bare: ClassVar[bool] = False
    """Whether values are written without quotation marks."""
    choices: tuple[str, ...] = ()

    def parsed(self, literal: Literal) -> Any:
        """What a literal means. Raises `BadValue`."""
        raise NotImplementedError

    def condition(self, source: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> Q:
        """Rows whose value fits; `source` is a path or an expression."""
        raise NotImplementedError

    def present(self, source: Any) -> Q:
        """Rows that have a value."""
        raise NotImplementedError

    def holds(self, actual: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> bool:
        """The same for one value, which is there."""
        raise NotImplementedError


class TextKind(Kind):
    """Texts. `=` is exact, `:` looks for a part and ignores the case of A to Z."""

    name = "text"
    operators: ClassVar[tuple[str, ...]] = ("=", "!=", ":")
    values = 'a text; `"web-*"` for all that begin so; `:` finds a part, `:*` any value'
    has_prefix = True

    def parsed(self, literal: Literal) -> str:
        if not literal.text and not literal.is_any:
            raise BadValue("An empty value matches nothing (NOT field:* finds what has none)")
        return literal.text

    def present(self, source: Any) -> Q:
        return Q(IsNull(_sql(source), False)) & ~Q(Exact(_sql(source), Value("")))

    def condition(self, source: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> Q:
        if literal.is_any:
            return _maybe_not(self.present(source), operator)
        if operator == ":":
            part = StrIndex(_folded(_sql(source)), Value(fold(value)))
            return _known(source) & Q(GreaterThan(part, Value(0)))
        matches = self._equal(source, literal)
        return matches if operator == "=" else self.present(source) & ~matches

    def _equal(self, source: Any, literal: Literal) -> Q:
        """Plain lookups for columns, which indexes can answer."""
        if isinstance(source, str):
            return Q(**{f"{source}__startswith" if literal.is_prefix else source: literal.text})
        lookup = StartsWith if literal.is_prefix else Exact
        return _known(source) & Q(lookup(source, literal.text))

    def holds(self, actual: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> bool:
        if operator == ":":
            return fold(value) in fold(actual)
        equal = actual.startswith(value) if literal.is_prefix else actual == value
        return bool(equal) is (operator == "=")


class VersionKind(TextKind):
    """Versions, in the order of `versions`. `"2.*"` compares characters."""

    name = "version"
    operators = ("=", "!=", "<", "<=", ">", ">=", ":")
    values = 'a version; `"2.4.*"` for all that begin so; `:*` any version'

    def parsed(self, literal: Literal) -> str:
        text = super().parsed(literal)
        return text if literal.is_prefix else version_key(text)

    def condition(self, source: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> Q:
        if operator == ":" or literal.is_prefix:
            return super().condition(source, operator, literal, literal.text, ctx)
        key = ordered(_sql(source))
        if operator == "!=":
            return self.present(source) & ~Q(Exact(key, Value(value)))
        return self.present(source) & Q(_LOOKUPS[operator](key, Value(value)))

    def holds(self, actual: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> bool:
        if operator == ":" or literal.is_prefix:
            return super().holds(actual, operator, literal, literal.text, ctx)
        return _COMPARED[operator](version_key(actual), value)


@dataclass(frozen=True, slots=True)
class ChoiceKind(Kind):
    """One of a few words."""

    choices: tuple[str, ...]

    name = "choice"
    operators = ("=", "!=")
    values = "one of its words"

    def parsed(self, literal: Literal) -> str:
        if literal.text not in self.choices:
            known = ", ".join(self.choices)
            found = nearest(literal.text, self.choices)
            raise BadValue(f'"{literal.text[:60]}" is none of {known}', f'"{found}"' * bool(found))
        return literal.text

    def condition(self, source: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> Q:
        return _maybe_not(Q(**{source: value}), operator)

    def holds(self, actual: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> bool:
        return _COMPARED[operator](actual, value)


class OrderedKind(Kind):
    """Base of what has a size; absent is NULL."""

    has_parts: ClassVar[bool] = False
    operators: ClassVar[tuple[str, ...]] = ("=", "!=", "<", "<=", ">", ">=", ":")

    def present(self, source: Any) -> Q:
        return _known(source)

    def wanted(self, value: Any, ctx: Any) -> Any:
        """What is compared with, when the query runs."""
        return value

    def condition(self, source: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> Q:
        if literal.is_any:
            return self.present(source)
        wanted = Value(self.wanted(value, ctx))
        if operator == "!=":
            return self.present(source) & ~Q(Exact(_sql(source), wanted))
        return self.present(source) & Q(_LOOKUPS[operator](_sql(source), wanted))

    def holds(self, actual: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> bool:
        return _COMPARED[operator](actual, self.wanted(value, ctx))


class NumberKind(OrderedKind):
    """Numbers; `80%` is 0.8."""

    name = "number"
    is_bare = True
    values = "a number, also as a percentage (`80%` is 0.8); `:*` any"
    _FORM = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?%?")

    def parsed(self, literal: Literal) -> float | None:
        if literal.is_any:
            return None
        if not self._FORM.fullmatch(literal.text):
            raise BadValue(f'"{literal.text[:60]}" is no number')
        number = Decimal(literal.text.rstrip("%"))
        return float(number / 100 if literal.text.endswith("%") else number)


class WholeKind(OrderedKind):
    """Whole numbers, and sizes with a unit: `4GiB`, `500MB`."""

    name = "size"
    is_bare = True
    values = "a whole number, also with a unit: `4GiB`, `500MB`; `:*` any"
    _FORM = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGT]i?)?B?", re.IGNORECASE)
    _UNITS: ClassVar = {
        "": 1,
        **{unit: 1000**power for power, unit in enumerate("kmgt", 1)},
        **{f"{unit}i": 1024**power for power, unit in enumerate("kmgt", 1)},
    }

    def parsed(self, literal: Literal) -> int | None:
        if literal.is_any:
            return None
        found = self._FORM.fullmatch(literal.text)
        number = found and int(Decimal(found[1]) * self._UNITS[(found[2] or "").lower()])
        if number is None or number > LARGEST:
            raise BadValue(f'"{literal.text[:60]}" is no size, such as 500MB or 4GiB')
        return number


class MomentKind(OrderedKind):
    """Moments, and ages: `-7d` is seven days ago."""

    name = "time"
    operators = ("<", "<=", ">", ">=", ":")
    values = (
        'seconds to weeks ago (`"-30s"`, `"-15m"`, `"-12h"`, `"-7d"`, `"-2w"`), or a day or time'
        ' (`"2026-11-23"`, `"2026-11-23T08:00:00Z"`; UTC where no zone is said); `:*` any'
    )
    _AGO = re.compile(r"-([0-9]{1,9})([smhdw])")
    _SECONDS: ClassVar = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
    _LONGEST = 100 * 365 * 86_400

    def parsed(self, literal: Literal) -> datetime | timedelta | None:
        if literal.is_any:
            return None
        if found := self._AGO.fullmatch(literal.text):
            seconds = int(found[1]) * self._SECONDS[found[2]]
            if seconds <= self._LONGEST:
                return timedelta(seconds=seconds)
        return self._moment(literal.text)

    def _moment(self, text: str) -> datetime:
        try:
            found = datetime.fromisoformat(text)
            aware = found if found.tzinfo else found.replace(tzinfo=UTC)
            return aware.astimezone(UTC)
        except (ValueError, OverflowError):
            problem = f'"{text[:60]}" is neither a time nor an age such as "-7d"'
            raise BadValue(problem) from None

    def wanted(self, value: Any, ctx: Any) -> Any:
        return ctx.now - value if isinstance(value, timedelta) else value


class UuidKind(Kind):
    """Ids."""

    name = "id"
    operators = ("=", "!=")
    values = "an id"

    def parsed(self, literal: Literal) -> UUID:
        try:
            return UUID(literal.text)
        except ValueError:
            raise BadValue(f'"{literal.text[:60]}" is no id') from None

    def condition(self, source: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> Q:
        return _maybe_not(Q(**{source: value}), operator)

    def holds(self, actual: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> bool:
        return _COMPARED[operator](actual, value)


@dataclass(frozen=True, slots=True)
class WordsKind(Kind):
    """A set of words, such as tags: `tags:"lab"`."""

    normalized: Callable[[str], str | None]

    name = "words"
    operators = (":",)
    values = "a word that is among them; `:*` any at all"

    def parsed(self, literal: Literal) -> str:
        found = "*" if literal.is_any else self.normalized(literal.text)
        if found is None:
            raise BadValue(f'"{literal.text[:60]}" cannot be one of them')
        return found

    def present(self, source: Any) -> Q:
        return ~Q(**{source: []})

    def condition(self, source: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> Q:
        return self.present(source) if literal.is_any else Q(**{f"{source}__contains": [value]})

    def holds(self, actual: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> bool:
        return literal.is_any or value in actual


class KeysKind(Kind):
    """The names in a map: `installed:"app"`."""

    name = "keys"
    operators = (":",)
    values = "a name that is in it; `:*` any at all"

    def parsed(self, literal: Literal) -> str:
        if not literal.text and not literal.is_any:
            raise BadValue("An empty name is in none")
        return literal.text

    def condition(self, source: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> Q:
        if literal.is_any:
            return ~Q(Exact(_sql(source), Value("{}")))
        held = SqlFunction(
            _sql(source), Value(value), function="jsonb_exists", output_field=BooleanField()
        )
        return Q(held)

    def holds(self, actual: Any, operator: str, literal: Literal, value: Any, ctx: Any) -> bool:
        return literal.is_any or value in actual


def fold(text: str) -> str:
    """Letters A to Z as small ones, and no others: so Python and every PostgreSQL agree."""
    return text.translate(_FOLD)


def json_text(column: str, *path: str) -> Any:
    """The text at a path in a JSON column, NULL where there is none."""
    return SqlFunction(
        F(column),
        *(Value(step) for step in path),
        function="jsonb_extract_path_text",
        output_field=TextField(),
    )


def json_whole(column: str, name: str) -> Any:
    """The whole number at a name in a JSON column, written as a number or as a text."""
    return SqlFunction(
        json_text(column, name),
        Value(r"^[0-9]{1,18}$"),
        function="substring",
        template="CAST(substring(%(expressions)s) AS bigint)",
        output_field=IntegerField(),
    )


def _sql(source: Any) -> Any:
    return F(source) if isinstance(source, str) else source


def _known(source: Any) -> Q:
    return Q(IsNull(_sql(source), False))


def _maybe_not(found: Q, operator: str) -> Q:
    return ~found if operator == "!=" else found


def _folded(expression: Any) -> Any:
    """By the rules of the C locale only A to Z have small letters, wherever the database runs."""
    return SqlFunction(Collate(expression, "C"), function="lower", output_field=TextField())
