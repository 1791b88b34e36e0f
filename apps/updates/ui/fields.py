"""Reading single fields of a plan's form, and what stands in them for a value."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from django.http import QueryDict
from django.utils.translation import gettext as _

from apps.core.errors import FleetdError, invalid
from apps.core.ids import parse_uuid
from apps.updates.domain.gates.policy import decimal_text

LAST_YEAR = 2200
UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
BYTES = {"B": 1, "kB": 1000, "MB": 1_000_000}
_DURATION = re.compile(r"([0-9]{1,9})\s*(s|min|m|h|d)?", re.ASCII)


def number_in(data: QueryDict, name: str, usual: int) -> int:
    """A whole number; what is left empty has its usual value. Raises `InvalidRequest`."""
    text = data.get(name, "").strip()
    if not text:
        return usual
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise invalid(name, "invalid_number", _("This is a whole number."))
    return int(text)


def decimal_in(data: QueryDict, name: str, usual: str, *, parts: int = 1) -> Decimal:
    """A decimal number, with a point or a comma, of so many parts. Raises `InvalidRequest`."""
    return decimal_of(data.get(name, "").strip() or usual, name, parts=parts)


def decimal_of(text: str, place: str, *, parts: int = 1) -> Decimal:
    """The same of a text. Raises `InvalidRequest` at `place`."""
    text = text.strip().replace(",", ".")
    try:
        if len(text) > 12:
            raise InvalidOperation
        return Decimal(text) / parts
    except ArithmeticError as error:
        raise invalid(place, "invalid_number", _("This is a number.")) from error


def share_in(data: QueryDict, name: str, usual: str) -> Decimal:
    """Per cent as a share. Raises `InvalidRequest`."""
    return decimal_in(data, name, usual, parts=100)


def seconds_in(data: QueryDict, name: str, usual: int) -> int:
    """A length of time: "90 s", "30 min", "2 h", "1 d"; a bare number is minutes.

    Raises `InvalidRequest`.
    """
    text = data.get(name, "").strip()
    if not text:
        return usual
    found = _DURATION.fullmatch(text)
    if found is None:
        message = _("Lengths of time are as 90 s, 30 min, 2 h or 1 d.")
        raise invalid(name, "invalid_duration", message)
    unit = (found[2] or "min").replace("min", "m").replace("m", "min")
    return int(found[1]) * UNITS[unit]


def seconds_text(seconds: int) -> str:
    """The same in the largest unit that leaves nothing over."""
    fitting = [unit for unit, size in UNITS.items() if seconds % size == 0]
    return f"{seconds // UNITS[fitting[-1]]} {fitting[-1]}" if seconds else ""


def bytes_parts(count: int) -> tuple[str, str]:
    """Bytes as a number and its unit, without loss; nothing for 0."""
    unit = [unit for unit, size in BYTES.items() if count % size == 0][-1]
    return (str(count // BYTES[unit]), unit) if count else ("", "kB")


def percent_text(share: Decimal) -> str:
    """A share in per cent, as a field shows it."""
    return decimal_text(share * 100)


def moment_in(data: QueryDict, name: str) -> datetime | None:
    """A date and time, in UTC where the text names no zone. Raises `InvalidRequest`."""
    text = data.get(name, "").strip()
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise invalid(name, "invalid_time", _("This is no date and time.")) from error
    if found.year > LAST_YEAR:
        raise invalid(name, "invalid_time", _("This is too far away."))
    return found


def moment_text(moment: datetime | None) -> str:
    """The same as a field for date and time wants it, in UTC."""
    if moment is None:
        return ""
    local = moment.astimezone(UTC).replace(tzinfo=None)
    exact = "milliseconds" if local.microsecond else "seconds" if local.second else "minutes"
    return local.isoformat(timespec=exact)


def days_in(data: QueryDict, name: str) -> tuple[date, ...]:
    """Dates, each once and in order. Raises `InvalidRequest`."""
    words = data.get(name, "").replace(",", " ").split()
    try:
        return tuple(sorted({date.fromisoformat(word) for word in words}))
    except ValueError as error:
        message = _("Dates are as 2026-12-24, with commas or lines between them.")
        raise invalid(name, "invalid_date", message) from error


def minute_in(data: QueryDict, name: str) -> int | None:
    """Minutes since midnight. Raises `InvalidRequest`."""
    text = data.get(name, "").strip()
    if not text:
        return None
    try:
        found = time.fromisoformat(text)
    except ValueError as error:
        raise invalid("windows", "invalid_window", _("Times are as 22:00.")) from error
    return found.hour * 60 + found.minute


def tags_in(data: QueryDict, name: str) -> tuple[str, ...]:
    """Tags between commas."""
    words = (word.strip().lower() for word in data.get(name, "").split(","))
    return tuple(word for word in words if word)


def ids_in(words: Iterable[str], field: str) -> tuple[UUID, ...]:
    """Ids. Raises `InvalidRequest` at `field` for a word that is none."""
    return tuple(id_in(word, field) for word in words)


def id_in(text: str, field: str) -> UUID:
    """One id. Raises `InvalidRequest`."""
    found = parse_uuid(text.strip())
    if found is None:
        raise invalid(field, "invalid_id", _("%(text)s is not an id.") % {"text": text[:60]})
    return found


def release_in(text: str) -> tuple[UUID, str]:
    """A release's id, and the channel that it was chosen by: `ID` or `ID@stable`."""
    release_id, _at, channel = text.partition("@")
    try:
        return id_in(release_id, "release"), channel
    except FleetdError as error:
        raise invalid("release", "unknown_release", _("Choose a release.")) from error


def choice_in(kind: Any, text: str, usual: Any) -> Any:
    """A word of an enumeration; the usual one for any other."""
    return kind(text) if text in list(kind) else usual


def words_in(data: QueryDict, name: str) -> list[str]:
    """Words between commas, blanks and lines."""
    return data.get(name, "").replace(",", " ").replace(";", " ").split()
