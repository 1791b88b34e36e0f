"""Comparing what was read with the table of keys: what fits becomes values, the rest problems."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from apps.core.filters.fields import nearest
from apps.updates.domain.manifest.kinds import Shape
from apps.updates.domain.manifest.problems import Place, Problem, shown
from apps.updates.domain.manifest.reading import Mapping, Node, Scalar, Sequence
from apps.updates.domain.manifest.schema import TREE, Branch, known_names

_ARTICLES = {Mapping: "an object", Sequence: "a list", Scalar: "a single value"}


# So many keys of an object are named where something else stands.
MOST_NAMED = 8


@dataclass(slots=True)
class Item:
    """A value that fits its key, with its place; `value` of lists and objects is None.

    `misfits` are keys that stand there with something else than belongs to them: said already.
    """

    place: Place
    value: Any = None
    inner: dict[str, "Item"] = field(default_factory=dict)
    items: list["Item"] = field(default_factory=list)
    misfits: set[str] = field(default_factory=set)

    def says(self, *names: str) -> bool:
        """Whether one of these keys stands here, whatever stands at it."""
        return any(name in self.inner or name in self.misfits for name in names)

    def find(self, path: str) -> "Item | None":
        """The item at a dotted path below this one."""
        at: Item | None = self
        for name in path.split("."):
            at = at.inner.get(name) if at is not None else None
        return at

    def get(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path."""
        found = self.find(path)
        return default if found is None else found.value

    def each(self, path: str) -> list["Item"]:
        """The items of the list at a dotted path."""
        found = self.find(path)
        return [] if found is None else found.items

    def values(self, path: str) -> list[Any]:
        """The values of the list at a dotted path."""
        return [item.value for item in self.each(path)]

    def mapping(self, path: str) -> dict[str, Any]:
        """The names and values at a dotted path."""
        found = self.find(path)
        return {} if found is None else {name: item.value for name, item in found.inner.items()}


def check(node: Node) -> tuple[Item, list[Problem]]:
    """What of a manifest fits the table, and everything that does not."""
    checker = _Checker()
    item = checker.item(node, TREE, node.place)
    return item or Item(node.place), checker.problems


class _Checker:
    """Walks nodes and table together, and goes on after each problem."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def item(self, node: Node, branch: Branch, place: Place) -> Item | None:
        """The item of a node; None where it does not fit."""
        match branch.key.kind.shape, node:
            case Shape.VALUE, Scalar():
                return self._scalar(node, branch)
            case Shape.LIST, Sequence():
                return self._list(node, branch)
            case Shape.MAP, Mapping():
                return self._map(node, branch.inner["*"])
            case Shape.OBJECT, Mapping():
                return self._object(node, branch, place)
        if isinstance(node, Scalar) and node.is_nothing:
            self._note(place, "There is nothing at this key: give it a value, or take it away.")
        else:
            wanted = branch.key.kind.shape.value
            names = ", ".join(_usable(branch)[:MOST_NAMED])
            keys = f" Its keys: {names}." if branch.key.kind.shape is Shape.OBJECT else ""
            self._note(node.place, f"Here belongs {wanted}, not {_ARTICLES[type(node)]}.{keys}")
        return None

    def _scalar(self, node: Scalar, branch: Branch) -> Item | None:
        if node.is_nothing:
            message = "There is nothing at this key: give it a value, or take it away."
            self._note(node.place, message)
            return None
        try:
            return Item(node.place, branch.key.kind.read(node.text))
        except ValueError as error:
            self._note(node.place, f"{error} Here stands {shown(node.text)}.")
            return None

    def _list(self, node: Sequence, branch: Branch) -> Item:
        inner = branch.inner["[]"]
        found = (self.item(each, inner, each.place) for each in node.items)
        return Item(node.place, items=[item for item in found if item is not None])

    def _map(self, node: Mapping, inner: Branch) -> Item:
        result = Item(node.place)
        for name, entry in node.entries.items():
            item = self.item(entry.node, inner, entry.place)
            if not 0 < len(name) <= 253:
                self._note(entry.place, "A name has 1 to 253 characters.")
            elif item is not None:
                result.inner[name] = item
        return result

    def _object(self, node: Mapping, branch: Branch, place: Place) -> Item:
        result = Item(place)
        names = known_names(branch)
        for name, entry in node.entries.items():
            known = names.get(name)
            if known is None:
                self._unknown(name, entry.place, names)
            elif known.key.refused:
                self._note(entry.place, known.key.refused)
            elif (item := self.item(entry.node, known, entry.place)) is not None:
                result.inner[name] = item
            else:
                result.misfits.add(name)
        for name in self._missing(node, branch):
            self._note(place, f"The key {name!r} is missing here.")
        return result

    def _missing(self, node: Mapping, branch: Branch) -> Iterator[str]:
        for name, inner in known_names(branch).items():
            if inner.key.is_needed and name not in node.entries:
                yield name

    def _unknown(self, name: str, place: Place, names: Any) -> None:
        usable = [each for each, branch in names.items() if not branch.key.refused]
        suggestion = nearest(name, usable)
        message = f"There is no key {shown(name)} here"
        message += f", did you mean {suggestion!r}?" if suggestion else "."
        self.problems.append(Problem(place, message, suggestion))

    def _note(self, place: Place, message: str) -> None:
        self.problems.append(Problem(place, message))


def _usable(branch: Branch) -> list[str]:
    """The keys of an object that mean something here."""
    return [name for name, inner in known_names(branch).items() if not inner.key.refused]
