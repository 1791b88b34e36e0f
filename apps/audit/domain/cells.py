"""Texts in exports: CSV cells that no spreadsheet takes for formulas, JSON on one plain line.

A CSV cell that begins with `=`, `+`, `-`, `@`, a tab, a line break or an apostrophe gets an
apostrophe in front. Whoever reads the file back takes one apostrophe from the front of every cell
that begins with one, and has the original value.
"""

import json
from collections.abc import Mapping
from typing import Any

GUARD = "'"
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", GUARD)


def neutral(value: object) -> str:
    """The value as a cell that is text for every spreadsheet."""
    text = "" if value is None else str(value)
    return GUARD + text if text.startswith(_RISKY) else text


def original(cell: str) -> str:
    """What a neutral cell was made of."""
    return cell.removeprefix(GUARD)


def json_line(data: Mapping[str, Any]) -> str:
    """Compact JSON in which nothing unprintable stands as it is: it is escaped."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return json.dumps(character)[1:-1]
