"""Calls one RPC through any of the protocols and says, in one form, what came back."""

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio
import httpx
from google.protobuf import any_pb2
from google.protobuf.json_format import MessageToJson, Parse
from google.protobuf.message import Message

from fleetd.rpc import details

PROTOCOLS = ("connect-json", "connect-proto", "grpc-web", "grpc")


@dataclass
class Answer:
    """What a client sees: "OK" or a gRPC code name, the stable code, the message."""

    status: str
    code: str = ""
    message: str = ""
    request_id: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)
    response: Any = None


@dataclass
class Doors:
    """Both doors of the public API, in this process."""

    web: httpx.AsyncClient
    channel: grpc.aio.Channel

    async def call(
        self,
        protocol: str,
        method: str,
        request: Message,
        response: type[Message],
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One unary call."""
        send = {
            "connect-json": self._connect_json,
            "connect-proto": self._connect_proto,
            "grpc-web": self._grpc_web,
            "grpc": self._grpc,
        }[protocol]
        return await send(method, request, response, dict(headers or {}))

    async def _connect_json(
        self, method: str, request: Message, kind: type[Message], headers: dict[str, str]
    ) -> Answer:
        headers["content-type"] = "application/json"
        got = await self.web.post(f"/{method}", content=MessageToJson(request), headers=headers)
        if got.status_code == 200:
            return Answer("OK", response=Parse(got.content, kind()))
        return connect_failure(got)

    async def _connect_proto(
        self, method: str, request: Message, kind: type[Message], headers: dict[str, str]
    ) -> Answer:
        headers["content-type"] = "application/proto"
        body = request.SerializeToString()
        got = await self.web.post(f"/{method}", content=body, headers=headers)
        if got.status_code == 200:
            return Answer("OK", response=kind.FromString(got.content))
        return connect_failure(got)

    async def _grpc_web(
        self, method: str, request: Message, kind: type[Message], headers: dict[str, str]
    ) -> Answer:
        headers["content-type"] = "application/grpc-web+proto"
        body = request.SerializeToString()
        framed = struct.pack(">BI", 0, len(body)) + body
        got = await self.web.post(f"/{method}", content=framed, headers=headers)
        message, trailers = _frames(got)
        number = int(trailers["grpc-status"])
        if number == 0:
            return Answer("OK", response=kind.FromString(message))
        return _failure(number, trailers, unquote(trailers.get("grpc-message", "")))

    async def _grpc(
        self, method: str, request: Message, kind: type[Message], headers: dict[str, str]
    ) -> Answer:
        call = self.channel.unary_unary(
            f"/{method}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=kind.FromString,
        )
        metadata = tuple((k.lower(), v) for k, v in headers.items())
        try:
            return Answer("OK", response=await call(request, metadata=metadata, timeout=20))
        except grpc.aio.AioRpcError as error:
            trailers = dict(error.trailing_metadata() or ())
            return _failure(error.code().value[0], trailers, error.details() or "")


def connect_failure(got: httpx.Response) -> Answer:
    """A Connect error document."""
    document = json.loads(got.content)
    answer = Answer(document["code"].upper(), got.headers["fleetd-code"], document["message"])
    if answer.status == "CANCELED":
        answer.status = "CANCELLED"
    answer.request_id = got.headers["request-id"]
    packed = [
        any_pb2.Any(
            type_url=f"type.googleapis.com/{d['type']}",
            value=base64.b64decode(d["value"] + "==="),
        )
        for d in document.get("details", [])
    ]
    _read_details(answer, packed)
    return answer


def _failure(number: int, trailers: Mapping[str, Any], message: str) -> Answer:
    name = next(c.name for c in grpc.StatusCode if c.value[0] == number)
    answer = Answer(name, trailers["fleetd-code"], message, trailers["request-id"])
    status = trailers["grpc-status-details-bin"]
    if isinstance(status, str):
        status = base64.b64decode(status + "===")
    _read_details(answer, details.read_status(status))
    return answer


def _read_details(answer: Answer, packed: Sequence[Any]) -> None:
    reason, answer.metadata = details.read_error_info(packed[0])
    assert reason == answer.code
    for extra in packed[1:]:
        answer.fields += details.read_bad_fields(extra)


def _frames(got: httpx.Response) -> tuple[bytes, dict[str, str]]:
    """The message and the trailers of a gRPC-Web answer; headers alone where it has no body."""
    message, trailers, data = b"", {k.lower(): v for k, v in got.headers.items()}, got.content
    while data:
        flags, length = struct.unpack(">BI", data[:5])
        frame, data = data[5 : 5 + length], data[5 + length :]
        if flags & 0x80:
            lines = frame.decode().strip().split("\r\n")
            trailers |= {
                k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines)
            }
        else:
            message = frame
    return message, trailers
