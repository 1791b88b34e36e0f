"""From a filter's text to its tokens. Limits hold before anything is read."""

import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from apps.core.filters.errors import FilterError

MAX_LENGTH = 4096
MAX_TOKENS = 1000
OPERATORS = ("!=", "<=", ">=", "=", "<", ">", ":")
_QUOTES = "\"'"
_STOPS = frozenset("()," + _QUOTES + "=<>!:")
_ESCAPED = frozenset("\\*" + _QUOTES)


class Shape(StrEnum):
    """What a token is."""

    TEXT = "text"
    STRING = "string"
    OPERATOR = "operator"
    OPEN = "("
    CLOSE = ")"
    COMMA = ","
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of a filter; columns count from 1, `end` is the last one of it.

    `is_prefix` says that it ended with a `*` that was not escaped, which is not part of `text`.
    """

    shape: Shape
    text: str
    column: int
    end: int
    is_prefix: bool = False

    @property
    def is_value(self) -> bool:
        """Whether it can be compared with."""
        return self.shape in (Shape.TEXT, Shape.STRING)

    def touches(self, other: "Token") -> bool:
        """Whether the other one follows without white space between."""
        return other.column == self.end + 1


def tokens_of(text: str) -> list[Token]:
    """All tokens, the last of them the end. Raises `FilterError`."""
    _check(text)
    found: list[Token] = []
    at = 0
    while (at := _skip_space(text, at)) < len(text):
        token = _next(text, at)
        found.append(token)
        at = token.end
        if len(found) > MAX_TOKENS:
            raise FilterError(token.column, f"The filter has more than {MAX_TOKENS} parts")
    found.append(Token(Shape.END, "", len(text) + 1, len(text) + 1))
    return found


def quoted(text: str, *, is_prefix: bool = False) -> str:
    """A text as a filter writes it: the reverse of what is read here."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
    return f'"{escaped}{"*" if is_prefix else ""}"'


def _check(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise FilterError(MAX_LENGTH + 1, f"A filter has at most {MAX_LENGTH} characters")
    for index, char in enumerate(text):
        # Controls, and halves of characters, are in no name; PostgreSQL cannot hold some of them.
        if char not in "\t\r\n" and unicodedata.category(char) in ("Cc", "Cs"):
            raise FilterError(index + 1, f"The character U+{ord(char):04X} cannot be used")


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _next(text: str, at: int) -> Token:
    char = text[at]
    if char in _QUOTES:
        return _string(text, at)
    for shape in (Shape.OPEN, Shape.CLOSE, Shape.COMMA):
        if char == shape:
            return Token(shape, char, at + 1, at + 1)
    for operator in OPERATORS:
        if text.startswith(operator, at):
            return Token(Shape.OPERATOR, operator, at + 1, at + len(operator))
    if char == "!":
        raise FilterError(at + 1, 'A lone "!" means nothing here', "NOT")
    return _bare(text, at)


def _bare(text: str, at: int) -> Token:
    end = at
    while end < len(text) and text[end] not in _STOPS and not text[end].isspace():
        end += 1
    word = text[at:end]
    star = word.find("*")
    if star not in (-1, len(word) - 1):
        raise _misplaced(at + star + 1)
    return Token(Shape.TEXT, word.removesuffix("*"), at + 1, end, is_prefix=star >= 0)


def _string(text: str, at: int) -> Token:
    quote, parts, index, star = text[at], list[str](), at + 1, 0
    while index < len(text) and text[index] != quote:
        if star:
            raise _misplaced(star)
        if text[index] == "\\":
            parts.append(_escape(text, index))
            index += 1
        elif text[index] == "*":
            star = index + 1
        else:
            parts.append(text[index])
        index += 1
    if index >= len(text):
        raise FilterError(at + 1, "The quotation that begins here does not end")
    return Token(Shape.STRING, "".join(parts), at + 1, index + 1, is_prefix=bool(star))


def _escape(text: str, at: int) -> str:
    following = text[at + 1 : at + 2]
    if following not in _ESCAPED or not following:
        raise FilterError(at + 1, "A backslash stands before a quotation mark, * or \\ only")
    return following


def _misplaced(column: int) -> FilterError:
    return FilterError(column, r'A "*" stands only at the end of a value; the character is \*,')
