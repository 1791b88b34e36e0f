"""Error details in the forms that every gRPC and Connect client knows (google.rpc).

The few messages that we use are declared here in a pool of their own, because the package that
ships them is not among our requirements and a second copy in the default pool would clash with it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    message_factory,
)
from google.protobuf.message import Message

from apps.core.errors import FieldError

DOMAIN = "fleetd"
_FIELD = descriptor_pb2.FieldDescriptorProto
_STRING, _MESSAGE, _INT32 = _FIELD.TYPE_STRING, _FIELD.TYPE_MESSAGE, _FIELD.TYPE_INT32
_OPTIONAL, _REPEATED = _FIELD.LABEL_OPTIONAL, _FIELD.LABEL_REPEATED


def error_info(reason: str, metadata: Mapping[str, object]) -> any_pb2.Any:
    """google.rpc.ErrorInfo: the stable code and the values behind it."""
    info = _ERROR_INFO(reason=reason, domain=DOMAIN)
    for name, value in metadata.items():
        info.metadata[name] = str(value)  # type: ignore[attr-defined]
    return _packed(info)


def bad_request(fields: Sequence[FieldError]) -> any_pb2.Any:
    """google.rpc.BadRequest: what is wrong with which field."""
    request = _BAD_REQUEST()
    for error in fields:
        request.field_violations.add(  # type: ignore[attr-defined]
            field=error.field, description=error.message, reason=error.code
        )
    return _packed(request)


def retry_info(seconds: int) -> any_pb2.Any:
    """google.rpc.RetryInfo: when to try again."""
    info = _RETRY_INFO()
    info.retry_delay.seconds = seconds  # type: ignore[attr-defined]
    return _packed(info)


def status(code: int, message: str, details: Sequence[any_pb2.Any]) -> bytes:
    """google.rpc.Status, as the trailer `grpc-status-details-bin` carries it."""
    whole = _STATUS(code=code, message=message)
    for packed in details:
        whole.details.add(type_url=packed.type_url, value=packed.value)  # type: ignore[attr-defined]
    return whole.SerializeToString()


def read_error_info(packed: Any) -> tuple[str, dict[str, str]]:
    """The reason and metadata of a packed ErrorInfo."""
    info = _ERROR_INFO.FromString(packed.value)
    return info.reason, dict(info.metadata)  # type: ignore[attr-defined]


def read_bad_fields(packed: Any) -> list[str]:
    """The names of the fields in a packed BadRequest."""
    violations = _BAD_REQUEST.FromString(packed.value).field_violations  # type: ignore[attr-defined]
    return [violation.field for violation in violations]


def read_retry_seconds(packed: Any) -> int:
    """The delay in a packed RetryInfo."""
    return int(_RETRY_INFO.FromString(packed.value).retry_delay.seconds)  # type: ignore[attr-defined]


def read_status(wire: bytes) -> list[Any]:
    """The details in a `grpc-status-details-bin` trailer: objects with `type_url` and `value`."""
    return list(_STATUS.FromString(wire).details)  # type: ignore[attr-defined]


def _packed(message: Message) -> any_pb2.Any:
    name = message.DESCRIPTOR.full_name
    return any_pb2.Any(type_url=f"type.googleapis.com/{name}", value=message.SerializeToString())


def _field(name: str, number: int, kind: int, label: int = _OPTIONAL, of: str = "") -> object:
    return _FIELD(name=name, number=number, type=kind, label=label, type_name=of or None)  # type: ignore[arg-type]


def _message(name: str, *fields: object) -> descriptor_pb2.DescriptorProto:
    return descriptor_pb2.DescriptorProto(name=name, field=fields)  # type: ignore[arg-type]


def _declared() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="google/rpc/status.proto",
        package="google.rpc",
        syntax="proto3",
        dependency=["google/protobuf/any.proto", "google/protobuf/duration.proto"],
    )
    info = _message(
        "ErrorInfo",
        _field("reason", 1, _STRING),
        _field("domain", 2, _STRING),
        _field("metadata", 3, _MESSAGE, _REPEATED, ".google.rpc.ErrorInfo.MetadataEntry"),
    )
    entry = _message("MetadataEntry", _field("key", 1, _STRING), _field("value", 2, _STRING))
    entry.options.map_entry = True
    info.nested_type.append(entry)
    bad = _message(
        "BadRequest",
        _field("field_violations", 1, _MESSAGE, _REPEATED, ".google.rpc.BadRequest.FieldViolation"),
    )
    bad.nested_type.append(
        _message(
            "FieldViolation",
            _field("field", 1, _STRING),
            _field("description", 2, _STRING),
            _field("reason", 3, _STRING),
        )
    )
    whole = _message(
        "Status",
        _field("code", 1, _INT32),
        _field("message", 2, _STRING),
        _field("details", 3, _MESSAGE, _REPEATED, ".google.protobuf.Any"),
    )
    retry = _message(
        "RetryInfo", _field("retry_delay", 1, _MESSAGE, of=".google.protobuf.Duration")
    )
    file.message_type.extend([info, bad, whole, retry])
    pool = descriptor_pool.DescriptorPool()
    any_file = descriptor_pb2.FileDescriptorProto()
    any_pb2.DESCRIPTOR.CopyToProto(any_file)
    pool.Add(any_file)
    duration_file = descriptor_pb2.FileDescriptorProto()
    duration_pb2.DESCRIPTOR.CopyToProto(duration_file)
    pool.Add(duration_file)
    pool.Add(file)
    return pool


def _class(pool: descriptor_pool.DescriptorPool, name: str) -> type[Message]:
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{name}"))


_POOL = _declared()
_ERROR_INFO = _class(_POOL, "ErrorInfo")
_BAD_REQUEST = _class(_POOL, "BadRequest")
_RETRY_INFO = _class(_POOL, "RetryInfo")
_STATUS = _class(_POOL, "Status")
