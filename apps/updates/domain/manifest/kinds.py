"""What single values of a manifest may be: how each is read, and how the reference says it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from apps.updates.domain.problems import BadPlan
from apps.updates.domain.schedule import zone_named

UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
SIZES |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
LARGEST = 2**53

_DURATION = re.compile(r"(?:\d{1,9}[dhms])+", re.ASCII)
_SIZE = re.compile(r"(\d{1,16}) ?([KMG]?i?B?)(?:/s)?", re.ASCII | re.IGNORECASE)
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00", re.ASCII)
_PERCENT = re.compile(r"(\d{1,3})%", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,16}", re.ASCII)
_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})", re.ASCII)
_MODE = re.compile(r"0?[0-7]{3,4}", re.ASCII)


class Shape(StrEnum):
    """What stands at a key."""

    OBJECT = "an object"
    LIST = "a list"
    MAP = "names and values"
    VALUE = "a value"


@dataclass(frozen=True, slots=True)
class Kind:
    """How a text becomes a value: `read` raises `ValueError` with the reason."""

    words: str
    read: Callable[[str], Any] = str
    shape: Shape = Shape.VALUE


def text(most: int, *, least: int = 1) -> Kind:
    """A text of so many characters."""

    def read(found: str) -> str:
        if not least <= len(found) <= most:
            raise ValueError(f"This is a text of {least} to {most} characters.")
        return found

    return Kind("text", read)


def word(choices: Sequence[str]) -> Kind:
    """One of these words."""
    known = ", ".join(choices)

    def read(found: str) -> str:
        if found not in choices:
            raise ValueError(f"This is one of {known}.")
        return found

    return Kind(f"`{'`, `'.join(choices)}`", read)


def only(answer: str, why: str) -> Kind:
    """A switch that stands one way here, and why."""

    def read(found: str) -> bool:
        if _switch(found) is not (answer == "true"):
            raise ValueError(f"Only {answer} is possible: {why}")
        return answer == "true"

    return Kind(f"`{answer}`", read)


def whole(low: int, high: int) -> Kind:
    """A whole number between these."""

    def read(found: str) -> int:
        if not _WHOLE.fullmatch(found) or not low <= int(found) <= high:
            raise ValueError(f"This is a whole number from {low} to {high}.")
        return int(found)

    return Kind(f"{low} to {high}", read)


def _switch(found: str) -> bool:
    if found.lower() not in ("true", "false"):
        raise ValueError("This is true or false.")
    return found.lower() == "true"


def _duration(found: str) -> int:
    if found == "0":
        return 0
    if not _DURATION.fullmatch(found):
        raise ValueError("This is a time with its unit, as 30s, 15m, 2h or 1h30m.")
    parts = re.findall(r"(\d+)([dhms])", found)
    seconds = sum(int(number) * UNITS[unit] for number, unit in parts)
    if seconds > LARGEST:
        raise ValueError("This is longer than anybody waits.")
    return seconds


def _size(found: str) -> int:
    match = _SIZE.fullmatch(found)
    unit = match[2].upper() if match else ""
    if match is None or unit + ("" if not unit or unit.endswith("B") else "B") not in SIZES:
        raise ValueError("This is a number of bytes, as 500KB, 1MB or 64MiB.")
    return int(match[1]) * SIZES[unit + ("" if not unit or unit.endswith("B") else "B")]


def _number_or_percent(found: str) -> tuple[int, int]:
    """(number, 0) or (0, percent)."""
    percent = _PERCENT.fullmatch(found)
    if percent and 1 <= int(percent[1]) <= 100:
        return 0, int(percent[1])
    if _WHOLE.fullmatch(found) and 1 <= int(found) <= 10_000_000:
        return int(found), 0
    raise ValueError("This is a number of devices from 1 on, or a percentage from 1% to 100%.")


def _decimal(found: str) -> Decimal:
    try:
        number = Decimal(found) if len(found) <= 30 else Decimal("nan")
    except InvalidOperation:
        number = Decimal("nan")
    # The size first: rounding an enormous number would be an error of its own.
    is_sane = number.is_finite() and (not number or -6 <= number.adjusted() < 9)
    if not is_sane or number != round(number, 6):
        raise ValueError("This is a decimal number with at most six decimal places.")
    return number


def _minute(found: str) -> int:
    if not _TIME.fullmatch(found):
        raise ValueError('This is a time of the day, as "02:00".')
    hours, minutes = found.split(":")
    return int(hours) * 60 + int(minutes)


def _day(found: str) -> date:
    try:
        if len(found) == 10:
            return date.fromisoformat(found)
    except ValueError:
        pass
    raise ValueError('This is a date, as "2026-12-24".')


def _moment(found: str) -> datetime:
    try:
        moment = datetime.fromisoformat(found)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError('This is a time with its zone, as "2026-12-01T08:00:00Z".')


def _zone(found: str) -> str:
    if found in ("device_local", "organization"):
        return found
    try:
        zone_named(found)
    except BadPlan:
        message = "This is device_local, organization, or a time zone such as Europe/Oslo."
        raise ValueError(message) from None
    return found


def _digest(found: str) -> str:
    match = _DIGEST.fullmatch(found)
    if match is None:
        raise ValueError("This is sha256: and 64 hexadecimal digits.")
    return match[1].lower()


def _mode(found: str) -> int:
    if not _MODE.fullmatch(found):
        raise ValueError('This is a file mode in octal digits, as "0644".')
    return int(found, 8)


def _priority(found: str) -> int:
    if found in PRIORITIES:
        return PRIORITIES[found]
    if not _WHOLE.fullmatch(found) or not -100 <= int(found) <= 100:
        raise ValueError(f"This is one of {', '.join(PRIORITIES)}, or a number from -100 to 100.")
    return int(found)


PRIORITIES = {"low": -50, "medium": 0, "high": 50, "critical": 100}

OBJECT = Kind("object", shape=Shape.OBJECT)
LIST = Kind("list", shape=Shape.LIST)
MAP = Kind("names and values", shape=Shape.MAP)
NOTHING = Kind("")
SWITCH = Kind("`true` or `false`", _switch)
DURATION = Kind("duration: `30s`, `15m`, `2h`, `1h30m`", _duration)
SIZE = Kind("bytes: `500KB`, `1MB`, `64MiB`", _size)
SHARE = Kind("number, or percentage", _number_or_percent)
DECIMAL = Kind("decimal number", _decimal)
TIME_OF_DAY = Kind("time of the day", _minute)
DAY = Kind("date", _day)
MOMENT = Kind("time with its zone", _moment)
ZONE = Kind("`device_local`, `organization`, or a zone's name", _zone)
DIGEST = Kind("`sha256:` and 64 hexadecimal digits", _digest)
FILE_MODE = Kind("octal digits", _mode)
PRIORITY = Kind("`low`, `medium`, `high`, `critical`, or -100 to 100", _priority)
