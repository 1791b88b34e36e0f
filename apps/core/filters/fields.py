"""What a filter may speak of: one declaration per field.

The parser, the query, the evaluator, the completion, the OpenAPI document and the reference page
are all made from these.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.core.filters.lexer import quoted

if TYPE_CHECKING:
    from apps.core.filters.kinds import Kind

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One thing that records can be found by.

    `source` is what the query compares: the path of a column, or for fields with a key a function
    of the key that gives an expression. `read` gives the same value of one record, None or "" for
    an absent one. `keyed` says how a key is named: a member (`labels.site`) or a function
    (`version("app")`).
    """

    name: str
    kind: "Kind"
    source: str | Callable[[str], Any]
    read: Callable[[Any, str], Any]
    help: str
    example: str
    keyed: str = ""

    def written(self, key: str) -> str:
        """The field as a filter names it."""
        if self.keyed == "function":
            return f"{self.name}({quoted(key)})"
        if self.keyed == "member":
            return f"{self.name}.{key if _PLAIN_KEY.fullmatch(key) else quoted(key)}"
        return self.name

    @property
    def pattern(self) -> str:
        """The same for people to read, with KEY where the key goes."""
        return {"function": f'{self.name}("KEY")', "member": f"{self.name}.KEY"}.get(
            self.keyed, self.name
        )


class Fields:
    """The whitelist of one kind of record, and in which of them lone words are looked for."""

    def __init__(self, title: str, fields: Iterable[Field], searched: Iterable[str] = ()) -> None:
        self.title = title
        self.by_name: Mapping[str, Field] = {field.name: field for field in fields}
        self.searched = tuple(self.by_name[name] for name in searched)

    def __iter__(self) -> Any:
        return iter(self.by_name.values())

    def find(self, name: str) -> Field | None:
        """The field of this name, of those that take no key."""
        found = self.by_name.get(name)
        return None if found is None or found.keyed else found

    def find_keyed(self, name: str, keyed: str) -> Field | None:
        """The field of this name that takes a key in this way."""
        found = self.by_name.get(name)
        return found if found is not None and found.keyed == keyed else None

    def resolved(self, text: str) -> tuple[Field | None, str]:
        """The field that a word names, as far as it got, and the key in it."""
        name, _, key = text.partition(".")
        found = self.find(text) or self.find_keyed(text, "function")
        return (found, "") if found else (self.find_keyed(name, "member"), key)

    @property
    def heads(self) -> frozenset[str]:
        """The words that fields begin with."""
        return frozenset(name.partition(".")[0] for name in self.by_name)

    def nearest(self, name: str) -> str:
        """The field that was probably meant, as one would write it; empty for no idea."""
        head = name.partition(".")[0]
        return self._written(nearest(name, self.by_name) or nearest(head, self.by_name), name)

    def _written(self, found: str, name: str) -> str:
        if not found:
            return ""
        key = name.partition(".")[2] if "." not in found else ""
        return self.by_name[found].written(key or "KEY")


def nearest(text: str, names: Iterable[str]) -> str:
    """The name that is most like a text, whatever the case; empty where none is."""
    known = {name.lower(): name for name in names}
    found = difflib.get_close_matches(text.lower()[:100], list(known), n=1, cutoff=0.6)
    return known[found[0]] if found else ""
