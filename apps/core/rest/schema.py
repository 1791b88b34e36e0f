"""OpenAPI 3.1 of the REST door, derived from the proto messages and their rules."""

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from apps.core.authz import OPEN_TO_ALL
from apps.core.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from apps.core.public import OpenOperation, Operation
from apps.core.rest.messages import (
    FLOATS,
    INTEGERS,
    TIMESTAMP,
    EnumType,
    Field,
    MessageType,
    inner_field,
    is_json,
    is_map,
    is_message,
    shown_name,
    words,
)
from apps.core.rest.problems import CONTENT_TYPE
from fleetd.pb.buf.validate import validate_pb2

_F = FieldDescriptor
_FAILURES = {
    "400": "The request is not valid; `errors` says which field.",
    "401": "No valid credential.",
    "403": "The caller lacks the permission named in `x-permission`.",
    "404": "There is no such object in the caller's organization.",
    "409": "Not possible in the present state, or it exists already.",
    "412": "It has changed meanwhile.",
    "413": "The body is too large.",
    "415": "The body has another content type.",
    "429": "Too much at once; see `Retry-After`.",
    "500": "A bug; report `request_id`.",
    "503": "Not available just now; see `Retry-After`.",
}
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. Branch on `code`, which is the same through every door.",
    "required": ["type", "title", "status", "detail", "code", "request_id", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "metadata": {"type": "object"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {"type": "string"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


class JsonParser(BaseParser):
    """Names what bodies are; `bodies.py` reads them."""

    media_type = "application/json"


class JsonRenderer(BaseRenderer):
    """Names what answers are; handlers render them."""

    media_type = "application/json"
    format = "json"
    charset = None


# --- Describing one endpoint ---


def described(
    handler: Any,
    operation: Operation[Any, Any] | OpenOperation[Any, Any],
    *,
    status: int,
    query: bool,
) -> Any:
    """The handler with its entry in the OpenAPI document."""
    answer = None if status == HTTPStatus.NO_CONTENT else answer_schema(operation.response_class)
    responses = {status: answer, **({304: None} if query else {})}
    return extend_schema(
        operation_id=operation.name,
        summary=operation.name.replace("_", " ").capitalize(),
        description=operation.summary,
        parameters=_query_parameters(operation) if query else [],
        request=None if query else {"application/json": request_schema(operation.request_class)},
        responses=responses,
        extensions={"x-permission": operation.permission.name},
    )(handler)


def answer_schema(response_class: type[Message]) -> dict[str, Any]:
    """The schema of what `render_answer` makes of such an answer."""
    descriptor = response_class.DESCRIPTOR
    inner = inner_field(descriptor)
    if inner is None:
        return reference(descriptor)
    rest = [f for f in descriptor.fields if f is not inner]
    if not rest:
        return reference(inner.message_type)
    beside = {"type": "object", "properties": {shown_name(f): field_schema(f) for f in rest}}
    return {"allOf": [reference(inner.message_type), beside]}


def request_schema(request_class: type[Message]) -> dict[str, Any]:
    """The schema of a body; fields that stand in the path are taken out afterwards."""
    return object_schema(request_class.DESCRIPTOR, is_request=True)


def reference(descriptor: MessageType) -> dict[str, Any]:
    """A link to the schema of a message."""
    return {"$ref": f"#/components/schemas/{descriptor.name}"}


def _query_parameters(
    operation: Operation[Any, Any] | OpenOperation[Any, Any],
) -> list[OpenApiParameter]:
    fields = operation.request_class.DESCRIPTOR.fields
    found = [
        OpenApiParameter(
            f.name,
            _parameter_schema(f),
            OpenApiParameter.QUERY,
            description=operation.parameters.get(f.name, ""),
        )
        for f in fields
    ]
    shown = OpenApiParameter(
        "fields", {"type": "string"}, description="Only these fields, separated by commas."
    )
    return [*found, shown]


def _parameter_schema(field: Field) -> dict[str, Any]:
    if field.name == "page_size":
        return {
            "type": "integer",
            "minimum": 1,
            "default": DEFAULT_PAGE_SIZE,
            "description": f"At most {MAX_PAGE_SIZE}; more is read as that.",
        }
    schema = field_schema(field, is_request=True)
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], ""]}  # empty: not asked for
    return schema


# --- Schemas of messages ---


def object_schema(descriptor: MessageType, *, is_request: bool = False) -> dict[str, Any]:
    """The schema of one message as JSON."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            shown_name(f): _optional(f) if is_request else field_schema(f)
            for f in descriptor.fields
        },
    }
    if is_request:
        schema["additionalProperties"] = False
        required = [f.name for f in descriptor.fields if _is_required(f)]
    else:
        required = [shown_name(f) for f in descriptor.fields]
    return {**schema, **({"required": required} if required else {})}


def _optional(field: Field) -> dict[str, Any]:
    """A field of a body: where it is not required, null means the same as leaving it out."""
    schema = field_schema(field, is_request=True)
    return schema if _is_required(field) else _or_null(schema)


def field_schema(field: Field, *, is_request: bool = False) -> dict[str, Any]:
    """The schema of one field with its rules."""
    rules = _rules(field)
    if is_map(field):
        held = field_schema(field.message_type.fields_by_name["value"], is_request=True)
        return {"type": "object", "additionalProperties": held}
    if not field.is_repeated:
        return _single_schema(field, rules, is_request=is_request)
    items = _single_schema(field, rules.repeated.items, is_request=is_request)
    schema: dict[str, Any] = {"type": "array", "items": items}
    for rule, keyword in (("min_items", "minItems"), ("max_items", "maxItems")):
        if rules.repeated.HasField(rule):
            schema[keyword] = getattr(rules.repeated, rule)
    return schema


def component_schemas(operations: list[Operation[Any, Any]]) -> dict[str, Any]:
    """Schemas of every message that the operations' answers and bodies refer to."""
    found: dict[str, Any] = {}
    for operation in operations:
        _collect(operation.response_class.DESCRIPTOR, found)
        for field in operation.request_class.DESCRIPTOR.fields:
            if is_message(field) and not is_map(field):
                _collect(field.message_type, found)
    return found


def _collect(descriptor: MessageType, found: dict[str, Any]) -> None:
    if descriptor.name in found:
        return
    found[descriptor.name] = object_schema(descriptor)
    for field in descriptor.fields:
        if is_message(field) and not is_map(field):
            _collect(field.message_type, found)


def _single_schema(field: Field, rules: Any, *, is_request: bool) -> dict[str, Any]:
    nullable = field.has_presence or field.type == _F.TYPE_ENUM
    if field.type == _F.TYPE_MESSAGE:
        return _message_schema(field, is_request=is_request)
    if is_json(field):
        return {"description": "Any JSON."}
    schema = _scalar_schema(field, rules)
    if nullable and not is_request and not field.is_repeated:
        schema = _or_null(schema)
    return schema


def _message_schema(field: Field, *, is_request: bool) -> dict[str, Any]:
    if field.message_type.full_name == TIMESTAMP:
        schema: dict[str, Any] = {"type": "string", "format": "date-time"}
        return schema if is_request else _or_null(schema)
    if is_request:
        return object_schema(field.message_type, is_request=True)
    if field.is_repeated:
        return reference(field.message_type)
    return {"oneOf": [reference(field.message_type), {"type": "null"}]}


def _scalar_schema(field: Field, rules: Any) -> dict[str, Any]:
    if field.type == _F.TYPE_BOOL:
        return {"type": "boolean"}
    if field.type == _F.TYPE_ENUM:
        return {"type": "string", "enum": _words(field.enum_type)}
    if field.type in FLOATS:
        return {"type": "number"}
    if field.type in INTEGERS:
        low, high = INTEGERS[field.type]
        given = rules.uint32
        low = given.gte if given.HasField("gte") else low
        high = given.lte if given.HasField("lte") else high
        return {"type": "integer", "minimum": low, "maximum": high}
    schema: dict[str, Any] = {"type": "string"}
    for rule, keyword in (("min_len", "minLength"), ("max_len", "maxLength")):
        if rules.string.HasField(rule):
            schema[keyword] = getattr(rules.string, rule)
    return schema


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    words = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, **words, "type": [schema["type"], "null"]}


def _words(enum: EnumType) -> list[str]:
    return list(words(enum).values())


def _rules(field: Field) -> Any:
    """The field's rules of protovalidate."""
    return field.GetOptions().Extensions[validate_pb2.field]


def _is_required(field: Field) -> bool:
    rules = _rules(field)
    return bool(rules.string.min_len or rules.repeated.min_items or list(rules.enum.not_in))


# --- Hooks of drf-spectacular ---


def without_slash_twins(endpoints: list[Any]) -> list[Any]:
    """Each address is shown once, without the slash at its end."""
    return [e for e in endpoints if e[0].startswith("/api/v1/") and not e[0].endswith("/")]


def complete(result: dict[str, Any], generator: Any, **_: Any) -> dict[str, Any]:
    """Adds components, failures and credentials; ids of the path leave the bodies."""
    operations = [
        handler.operation
        for _, _, _, callback in generator.endpoints
        for handler in vars(callback.cls).values()
        if hasattr(handler, "operation")
    ]
    components = result.setdefault("components", {})
    components.setdefault("schemas", {}).update(component_schemas(operations))
    components["schemas"]["Problem"] = PROBLEM_SCHEMA
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT or fld_pat_…"},
        "api_key_header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "session": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
    }
    result["security"] = [{"bearer": []}, {"api_key_header": []}, {"session": []}]
    for item in result["paths"].values():
        for described_operation in item.values():
            _complete_operation(described_operation)
    return result


def _complete_operation(described_operation: dict[str, Any]) -> None:
    problem = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status, text in _FAILURES.items():
        described_operation["responses"].setdefault(
            status, {"description": text, "content": problem}
        )
    described_operation.pop("security", None)
    if described_operation.get("x-permission") == OPEN_TO_ALL.name:
        described_operation["security"] = []
    in_path = {p["name"] for p in described_operation.get("parameters", []) if p["in"] == "path"}
    described_operation["parameters"] = [
        p
        for p in described_operation.get("parameters", [])
        if p["in"] == "path" or p["name"] not in in_path
    ]
    body = described_operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body and "properties" in body["schema"]:
        schema = body["schema"]
        schema["properties"] = {k: v for k, v in schema["properties"].items() if k not in in_path}
