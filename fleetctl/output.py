"""What goes to standard output: tables for people, JSON in the API's own shape for programs."""

import json
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

Columns = Sequence[tuple[str, str]]
DASH = "-"
UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
WIDE = ("W", "F")
EMPTY: tuple[Any, ...] = (None, "", [], {})
LONGEST = 100


def show_list(items: Sequence[dict[str, Any]], columns: Columns, form: str) -> None:
    """Prints a list; how many there are goes to standard error."""
    if form == "json":
        sys.stdout.write(json.dumps(items, indent=2, ensure_ascii=False) + "\n")
        return
    rows = [[title for title, _ in columns]]
    rows += [[cell(item, path) for _, path in columns] for item in items]
    widths = [max(_width(row[i]) for row in rows) for i in range(len(columns))]
    for row in rows:
        line = "  ".join(_pad(text, width) for text, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")
    if not items:
        sys.stderr.write("nothing found\n")


def show_one(item: dict[str, Any], form: str) -> None:
    """Prints one object with all of its fields."""
    if form == "json":
        sys.stdout.write(json.dumps(item, indent=2, ensure_ascii=False) + "\n")
        return
    for line in _lines(item):
        sys.stdout.write(f"{line}\n")


def say(text: str = "") -> None:
    """Prints a line for people, as `plain` has it."""
    sys.stdout.write(f"{plain(text)}\n")


def plain(text: str) -> str:
    """What devices and other people say cannot steer the terminal; line breaks stay."""
    return "\n".join(_clean(line) for line in text.split("\n"))


def _lines(item: dict[str, Any], depth: int = 0) -> Iterator[str]:
    """One line for each field; what lies below it is indented, without what is empty there."""
    fields = {_clean(k): v for k, v in item.items() if not depth or v not in EMPTY}
    short = {k: v for k, v in fields.items() if not _is_long(v)}
    width = max((len(key) for key in short), default=0)
    for key, value in fields.items():
        if key in short:
            yield f"{'  ' * depth}{key:{width}}  {_short(key, value)}"
        else:
            yield f"{'  ' * depth}{key}"
            yield from _below(value, depth + 1)


def _below(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _lines(value, depth)
        return
    for item in value:
        inner = list(_lines(item, depth + 1)) if isinstance(item, dict) else [_text("", item)]
        mark = f"{'  ' * depth}- "
        first, *rest = inner or [DASH]
        yield f"{mark}{first.strip()}"
        yield from rest


def _is_long(value: Any) -> bool:
    """Whether a value has too many parts for one line."""
    if isinstance(value, list):
        return any(isinstance(item, dict) for item in value)
    return isinstance(value, dict) and len(_short("", value)) > LONGEST


def _short(key: str, value: Any) -> str:
    if not isinstance(value, dict) or not value:
        return _text(key, value)
    if any(isinstance(part, dict | list) and part for part in value.values()):
        return _text(key, value) + " " * LONGEST
    parts = ((_clean(name), part) for name, part in value.items() if part not in EMPTY)
    return ", ".join(f"{name} {_text(name, part)}" for name, part in parts) or DASH


def cell(item: dict[str, Any], path: str) -> str:
    """The value at `path` (dots lead into objects) as a table shows it."""
    value: Any = item
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return _text(path, value).replace("\n", " ")


def ago(text: str, now: datetime | None = None) -> str:
    """An RFC 3339 time as a rough age."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    seconds = int(((now or datetime.now(UTC)) - moment).total_seconds())
    sign, seconds = ("in ", -seconds) if seconds < 0 else ("", seconds)
    unit, size = next((u for u in UNITS if seconds >= u[1]), UNITS[-1])
    return f"{sign}{seconds // size}{unit}" + ("" if sign else " ago")


def _text(path: str, value: Any) -> str:
    """A value in words; what devices say must not steer the terminal."""
    return _clean(_words(path, value))


def _clean(text: str) -> str:
    """Without what a terminal obeys."""
    return "".join(c if c.isprintable() else " " for c in text)


def _words(path: str, value: Any) -> str:
    if value is None or value in ("", [], {}):
        return DASH
    if path.endswith("_at") and isinstance(value, str):
        return ago(value)
    if path.endswith("_ratio"):
        return f"{100 * value:.0f} %"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and not any(isinstance(item, dict) for item in value):
        return ", ".join(str(item) for item in value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in WIDE else 1 for c in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
