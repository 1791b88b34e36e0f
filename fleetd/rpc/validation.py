"""Requests are checked against the rules in the proto files before a servicer sees them."""

from typing import Any

import protovalidate
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from apps.core.errors import FieldError, InvalidRequest


def check(message: Message) -> None:
    """Raises `InvalidRequest`, naming the fields, unless the message keeps its rules.

    PostgreSQL stores no NUL in text, so a NUL anywhere is refused here, once for all fields.
    """
    try:
        protovalidate.validate(message)
    except protovalidate.ValidationError as error:
        fields = [_field_error(violation.proto) for violation in error.violations]
        raise InvalidRequest(_sentence(fields), fields=fields) from None
    if b"\x00" in message.SerializeToString() and (path := _nul_field(message)):
        field = FieldError(path, "nul_character", "Text may not contain the character NUL.")
        raise InvalidRequest(_sentence([field]), fields=[field])


def _sentence(fields: list[FieldError]) -> str:
    first = fields[0]
    return f"{first.field}: {first.message}" if first.field else first.message


def _field_error(violation: Any) -> FieldError:
    elements = violation.field.elements if violation.field else []
    path = ".".join(_element(element) for element in elements)
    code = violation.rule_id.replace(".", "_")
    return FieldError(path, code, f"{violation.message or 'is not valid'}.")


def _element(element: Any) -> str:
    subscript = getattr(element.subscript, "value", None)
    return element.field_name if subscript is None else f"{element.field_name}[{subscript!r}]"


def _nul_field(message: Message) -> str:
    """The path of the first text with a NUL, empty where there is none."""
    for field, value in message.ListFields():
        found = _nul_in(field, value)
        if found is not None:
            return ".".join(part for part in (field.name, found) if part)
    return ""


def _nul_in(field: FieldDescriptor, value: Any) -> str | None:
    if isinstance(value, str):
        return "" if "\x00" in value else None
    if isinstance(value, Message):
        return _nul_field(value) or None
    if field.message_type and field.message_type.GetOptions().map_entry:
        inner = field.message_type.fields_by_name["value"]
        parts = [*value.keys(), *(value[key] for key in value)]
        return next((p for v in parts if (p := _nul_in(inner, v)) is not None), None)
    if isinstance(value, bytes | int | float):
        return None
    return next((p for v in value if (p := _nul_in(field, v)) is not None), None)
