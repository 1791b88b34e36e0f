"""A filter as a tree, and how it is written: with parentheses wherever they help to read it."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from apps.core.filters.fields import Field
from apps.core.filters.literals import Literal


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison. `value` is what the literal means to the field; `key` belongs to maps."""

    field: Field
    key: str
    operator: str
    literal: Literal
    value: Any = dataclasses.field(compare=False)
    column: int = dataclasses.field(default=1, compare=False)
    end: int = dataclasses.field(default=1, compare=False)

    def __str__(self) -> str:
        space = "" if self.operator == ":" else " "
        value = self.literal.text if self.is_bare else str(self.literal)
        return f"{self.field.written(self.key)}{space}{self.operator}{space}{value}"

    @property
    def is_bare(self) -> bool:
        """Whether the value needs no quotation marks."""
        return self.field.kind.is_bare and not self.literal.is_any


@dataclass(frozen=True, slots=True)
class Word:
    """Something without a field: looked for in whatever names a record."""

    literal: Literal
    column: int = dataclasses.field(default=1, compare=False)
    end: int = dataclasses.field(default=1, compare=False)

    def __str__(self) -> str:
        return str(self.literal)


@dataclass(frozen=True, slots=True)
class Not:
    """What does not hold."""

    child: "Node"

    def __str__(self) -> str:
        return f"NOT {_grouped(self.child)}"


@dataclass(frozen=True, slots=True)
class And:
    """All of them hold; there are two at least."""

    children: tuple["Node", ...]

    def __str__(self) -> str:
        return " AND ".join(_grouped(child, bare=Not) for child in self.children)


@dataclass(frozen=True, slots=True)
class Or:
    """One of them holds; there are two at least."""

    children: tuple["Node", ...]

    def __str__(self) -> str:
        return " OR ".join(_grouped(child, bare=Not) for child in self.children)


Leaf: TypeAlias = Clause | Word
Node: TypeAlias = Leaf | Not | And | Or


def leaves(node: Node) -> Iterator[Leaf]:
    """The comparisons, from left to right."""
    match node:
        case Clause() | Word():
            yield node
        case Not(child):
            yield from leaves(child)
        case And(children) | Or(children):
            for child in children:
                yield from leaves(child)


def mapped(node: Node, change: Callable[[Leaf], Leaf]) -> Node:
    """The same tree with other comparisons."""
    match node:
        case Not(child):
            return Not(mapped(child, change))
        case And(children):
            return And(tuple(mapped(child, change) for child in children))
        case Or(children):
            return Or(tuple(mapped(child, change) for child in children))
    return change(node)


def _grouped(node: Node, *, bare: type | None = None) -> str:
    is_alone = isinstance(node, Clause | Word) or (bare is not None and isinstance(node, bare))
    return str(node) if is_alone else f"({node})"
