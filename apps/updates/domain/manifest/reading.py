"""From a manifest's text to nodes that know where they stand.

YAML is read as events, and nothing but plain mappings, lists and scalars is made of them: tags,
anchors and aliases are refused, so no text can become an object or grow while it is read. Limits
on size, depth and number of values hold before anything else looks at them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import yaml

from apps.updates.domain.manifest.problems import ManifestErrors, Place, Problem, shown

MAX_CHARACTERS = 64 * 1024
MAX_DEPTH = 20
MAX_VALUES = 5_000
# As much of a key as its path shows.
MAX_NAME = 60


@dataclass(frozen=True, slots=True)
class Scalar:
    """One text as it was written; `is_plain` without quotation marks, where `null` is nothing."""

    text: str
    place: Place
    is_plain: bool = False

    @property
    def is_nothing(self) -> bool:
        """Whether it is YAML's way to give no value."""
        return self.is_plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping: where the key stands, and what belongs to it."""

    place: Place
    node: "Node"


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys in the order of the text."""

    place: Place
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    place: Place
    items: list["Node"] = field(default_factory=list)


Node = Scalar | Mapping | Sequence


def read_yaml(text: str) -> tuple[Node, list[Problem]]:
    """The one document in `text`, and the problems that do not keep the rest from being read.

    Raises `ManifestErrors` for what is no YAML, whatever the text is.
    """
    if len(text) > MAX_CHARACTERS:
        raise _fatal(Place(), f"A manifest has at most {MAX_CHARACTERS} characters.")
    try:
        reader = _Reader(yaml.parse(text, Loader=yaml.SafeLoader))
        return reader.document(), reader.problems
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place()
        raise _fatal(place, f"This is no YAML: {error.problem or error.context}.") from error
    except yaml.reader.ReaderError as error:
        message = f"The character U+{_code(error.character):04X} cannot be used."
        raise _fatal(_place_of(text, error.position), message) from error
    except (ValueError, OverflowError) as error:
        if isinstance(error, ManifestErrors):
            raise
        # The scanner's own: an escape that names no character.
        raise _fatal(Place(), "An escape in a text names no character.") from error


class _Reader:
    """Makes nodes of events, one document, no deeper than allowed."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._values = 0
        self.problems: list[Problem] = []

    def document(self) -> Node:
        """The first document. Raises `ManifestErrors` where there is none, or another one."""
        for event in islice(self._events, 1, None):  # the stream's start
            if isinstance(event, yaml.StreamEndEvent):
                raise _fatal(_at(event), "The manifest is empty.")
            if isinstance(event, yaml.DocumentStartEvent):
                break
        found = self._node(next(self._events), "", 0)
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise _fatal(_at(event), "A second document begins here; a manifest is one.")
        return found

    def _node(self, event: yaml.Event, path: str, depth: int) -> Node:
        place = _at(event, path)
        self._values += 1
        if self._values > MAX_VALUES:
            raise _fatal(place, f"A manifest has at most {MAX_VALUES} values.")
        if depth > MAX_DEPTH:
            raise _fatal(place, f"A manifest is at most {MAX_DEPTH} levels deep.")
        self._refuse_machinery(event, place)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(place, path, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(place, path, depth)
        text, is_plain = "", True
        if isinstance(event, yaml.ScalarEvent):
            text, is_plain = event.value, bool(event.implicit[0]) and event.style is None
        self._check_text(text, place)
        return Scalar(text, place, is_plain)

    def _mapping(self, place: Place, path: str, depth: int) -> Mapping:
        found = Mapping(place)
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            name = self._key(event, path, depth)
            inner = f"{path}.{name[:MAX_NAME]}" if path else name[:MAX_NAME]
            entry = Entry(_at(event, inner), self._node(next(self._events), inner, depth + 1))
            if name in found.entries:
                first = found.entries[name].place
                self._note(entry.place, f"The key stands in line {first.line} already.")
            else:
                found.entries[name] = entry
        return found

    def _key(self, event: yaml.Event, path: str, depth: int) -> str:
        node = self._node(event, path, depth + 1)
        if not isinstance(node, Scalar):
            raise _fatal(node.place, "A key is a text.")
        return node.text

    def _sequence(self, place: Place, path: str, depth: int) -> Sequence:
        found = Sequence(place)
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            found.items.append(self._node(event, f"{path}[{len(found.items)}]", depth + 1))
        return found

    def _refuse_machinery(self, event: yaml.Event, place: Place) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._note(place, "References to other places are not read: write the value here.")
        elif getattr(event, "anchor", None):
            self._note(place, "Anchors are not read: write the value wherever it is needed.")
        if tag := getattr(event, "tag", None):
            self._note(place, f"Tags are not read: take {shown(str(tag))} away.")

    def _check_text(self, text: str, place: Place) -> None:
        """What neither PostgreSQL nor UTF-8 can hold."""
        bad = next((c for c in text if c == "\0" or "\ud800" <= c <= "\udfff"), None)
        if bad is not None:
            raise _fatal(place, f"The character U+{ord(bad):04X} cannot be used.")

    def _note(self, place: Place, message: str) -> None:
        self.problems.append(Problem(place, message))


def _at(event: yaml.Event, path: str = "") -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1, path) if mark else Place(path=path)


def _place_of(text: str, position: int) -> Place:
    """Line and column of a position in the text."""
    before = text[:position]
    return Place(before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


def _code(character: object) -> int:
    """The reader says it as a number, its types as a text."""
    return character if isinstance(character, int) else ord(str(character)[:1] or " ")


def _fatal(place: Place, message: str) -> ManifestErrors:
    return ManifestErrors([Problem(place, message)])
