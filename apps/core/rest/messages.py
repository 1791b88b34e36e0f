"""Protobuf messages as REST shows them: snake_case names, lower_snake words, RFC 3339 times.

A string field `data_json` is the JSON value `data`; a field that is not set is null.
"""

import math
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeAlias, TypeVar

import orjson
import protovalidate
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from apps.core.errors import FieldError, InvalidRequest
from apps.core.pagination import PageRequest

M = TypeVar("M", bound=Message)

JSON_SUFFIX = "_json"
# The stubs know two unrelated classes for each kind of descriptor.
MessageType: TypeAlias = Any
EnumType: TypeAlias = Any
Field: TypeAlias = Any

_F = FieldDescriptor
INTEGERS = {
    _F.TYPE_INT32: (-(2**31), 2**31 - 1),
    _F.TYPE_INT64: (-(2**63), 2**63 - 1),
    _F.TYPE_UINT32: (0, 2**32 - 1),
    _F.TYPE_UINT64: (0, 2**64 - 1),
}
FLOATS = (_F.TYPE_FLOAT, _F.TYPE_DOUBLE)
TIMESTAMP = Timestamp.DESCRIPTOR.full_name


# --- Out ---


def render(message: Message) -> dict[str, Any]:
    """The message as a JSON object with all of its fields."""
    return {shown_name(f): _value(message, f) for f in message.DESCRIPTOR.fields}


def render_answer(message: Message) -> dict[str, Any]:
    """An answer: one object inside it is the answer itself, with what stands beside it."""
    nested = inner_field(message.DESCRIPTOR)
    if nested is None:
        return render(message)
    rest = {shown_name(f): _value(message, f) for f in message.DESCRIPTOR.fields if f is not nested}
    return {**render(getattr(message, nested.name)), **rest}


def inner_field(descriptor: MessageType) -> Field | None:
    """The one singular message field of an answer, None where there is none or several."""
    found = [f for f in descriptor.fields if is_message(f) and not f.is_repeated]
    return found[0] if len(found) == 1 else None


def shown_name(field: Field) -> str:
    """A field's name in JSON."""
    return str(field.name.removesuffix(JSON_SUFFIX)) if is_json(field) else str(field.name)


def is_json(field: Field) -> bool:
    """Whether the string holds JSON."""
    return field.type == _F.TYPE_STRING and field.name.endswith(JSON_SUFFIX)


def is_message(field: Field) -> bool:
    """Whether the field holds messages that are objects in JSON."""
    return field.type == _F.TYPE_MESSAGE and field.message_type.full_name != TIMESTAMP


def is_map(field: Field) -> bool:
    """Whether the field is a map."""
    return field.type == _F.TYPE_MESSAGE and bool(field.message_type.GetOptions().map_entry)


@cache
def words(enum: EnumType) -> dict[int, str]:
    """The enum's numbers as words, without the unspecified one."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {v.number: v.name.removeprefix(prefix).lower() for v in enum.values if v.number}


def _value(message: Message, field: Field) -> Any:
    value = getattr(message, field.name)
    if is_map(field):
        return dict(value)
    if field.is_repeated:
        return [_single(item, field) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _single(value, field)


def _single(value: Any, field: Field) -> Any:
    if field.type == _F.TYPE_MESSAGE:
        return _time(value) if field.message_type.full_name == TIMESTAMP else render(value)
    if field.type == _F.TYPE_ENUM:
        return words(field.enum_type).get(value)
    if field.type == _F.TYPE_FLOAT:
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if is_json(field):
        return orjson.loads(value) if value else None
    return value


def _time(stamp: Timestamp) -> str:
    return stamp.ToDatetime(tzinfo=UTC).isoformat().replace("+00:00", "Z")


# --- In ---


def read(kind: type[M], data: Mapping[str, Any], *, bound: Mapping[str, str] | None = None) -> M:
    """A request message from a JSON object and from ids `bound` in the path; validated.

    Raises `InvalidRequest` that names every bad field.
    """
    message = kind()
    errors: list[FieldError] = []
    fill(message, data, errors, bound=frozenset(bound or ()))
    for name, value in (bound or {}).items():
        setattr(message, name, value[:1000])
    if errors:
        raise InvalidRequest(errors[0].message, fields=errors)
    validate(message)
    return message


def read_query(
    kind: type[M], query: Mapping[str, list[str]], *, bound: Mapping[str, str] | None = None
) -> M:
    """A request message from a query string."""
    data: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, texts in query.items():
        field = kind.DESCRIPTOR.fields_by_name.get(name)
        if field is None or is_message(field):
            errors.append(_unknown(name))
        elif name == "page_size" and texts[-1]:
            data[name] = PageRequest.of(texts[-1]).size
        elif values := [_from_text(text, field) for text in texts if text or not _is_word(field)]:
            data[name] = values if field.is_repeated else values[-1]
    if errors:
        raise InvalidRequest(errors[0].message, fields=errors)
    return read(kind, data, bound=bound)


def validate(message: Message) -> None:
    """Checks the rules that stand in the proto file. Raises `InvalidRequest`."""
    violations = protovalidate.collect_violations(message)
    if violations:
        errors = [_violation(v) for v in violations]
        raise InvalidRequest(errors[0].message, fields=errors)


def _violation(violation: Any) -> FieldError:
    elements = violation.proto.field.elements if violation.proto.field else []
    path = ".".join(_element(element) for element in elements)
    code = violation.proto.rule_id.replace(".", "_") or "invalid_value"
    return FieldError(path, code, f"{path} {violation.proto.message or 'is not valid'}.")


def _element(element: Any) -> str:
    index = getattr(element.subscript, "value", None)
    return f"{element.field_name}" if index is None else f"{element.field_name}.{index}"


def _is_word(field: Field) -> bool:
    """Whether an empty value can mean that the field is not asked for; numbers have none."""
    return field.type in (_F.TYPE_STRING, _F.TYPE_ENUM)


def _from_text(text: str, field: Field) -> Any:
    """A query value as JSON would hold it; what does not fit stays text and is refused later."""
    if field.type == _F.TYPE_BOOL:
        return {"true": True, "false": False}.get(text.lower(), text)
    if field.type in INTEGERS and text.isascii() and text.lstrip("-").isdigit() and len(text) < 21:
        return int(text)
    return text


def fill(
    message: Message,
    data: Mapping[str, Any],
    errors: list[FieldError],
    *,
    path: str = "",
    bound: Collection[str] = (),
) -> None:
    """Sets the message's fields from a JSON object; what does not fit is added to `errors`."""
    for name, value in data.items():
        where = f"{path}{name}"
        field = message.DESCRIPTOR.fields_by_name.get(name)
        if field is None or name in bound:
            errors.append(_unknown(where))
        elif value is not None:
            _set(message, field, value, where, errors)


def _set(message: Message, field: Field, value: Any, where: str, errors: list[FieldError]) -> None:
    if is_map(field):
        _fill_map(getattr(message, field.name), field, value, where, errors)
    elif field.is_repeated:
        if not isinstance(value, list):
            errors.append(FieldError(where, "invalid_type", f"{where} is not a list."))
            return
        for index, item in enumerate(value):
            _add(message, field, item, f"{where}.{index}", errors)
    elif is_message(field):
        _fill_nested(getattr(message, field.name), value, where, errors)
    else:
        found = _scalar(value, field, where, errors)
        if found is not None:
            setattr(message, field.name, found)


def _fill_map(target: Any, field: Field, value: Any, where: str, errors: list[FieldError]) -> None:
    """A map from texts to texts or numbers."""
    if not isinstance(value, dict):
        errors.append(FieldError(where, "invalid_type", f"{where} is not an object."))
        return
    held = field.message_type.fields_by_name["value"]
    for name, item in value.items():
        path = f"{where}.{name[:100]}"
        if "\x00" in name:
            errors.append(FieldError(path, "invalid_value", f"{path} is not text."))
        elif (found := _scalar(item, held, path, errors)) is not None:
            target[name] = found


def _add(message: Message, field: Field, item: Any, where: str, errors: list[FieldError]) -> None:
    items = getattr(message, field.name)
    if is_message(field):
        _fill_nested(items.add(), item, where, errors)
        return
    found = _scalar(item, field, where, errors)
    if found is not None:
        items.append(found)


def _fill_nested(message: Message, value: Any, where: str, errors: list[FieldError]) -> None:
    if not isinstance(value, dict):
        errors.append(FieldError(where, "invalid_type", f"{where} is not an object."))
        return
    message.SetInParent()
    fill(message, value, errors, path=f"{where}.")


def _scalar(value: Any, field: Field, where: str, errors: list[FieldError]) -> Any:
    """The value for the message, None with an entry in `errors` where it does not fit."""
    expected, found = _converted(value, field)
    if found is None:
        errors.append(FieldError(where, "invalid_value", f"{where} is not {expected}."))
    return found


def _converted(value: Any, field: Field) -> tuple[str, Any]:
    """What the field expects, in words, and the value if it fits."""
    if field.type == _F.TYPE_STRING:
        return "text", value if isinstance(value, str) and "\x00" not in value else None
    if field.type == _F.TYPE_BOOL:
        return "true or false", value if isinstance(value, bool) else None
    if field.type == _F.TYPE_ENUM:
        numbers = {word: number for number, word in words(field.enum_type).items()}
        known = isinstance(value, str)
        return f"one of {', '.join(numbers)}", numbers.get(value) if known else None
    if field.type in INTEGERS:
        low, high = INTEGERS[field.type]
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return f"a whole number from {low} to {high}", value if fits else None
    if field.type == _F.TYPE_MESSAGE:
        return "a time such as 2026-12-24T20:00:00Z", _moment(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "a number", float(value) if is_number else None


def _moment(value: Any) -> datetime | None:
    """A time with its zone, as RFC 3339 writes it; None for anything else."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    try:
        return None if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        return None


def _unknown(where: str) -> FieldError:
    return FieldError(where, "unknown_field", f"There is no field {where[:100]!r}.")
