"""A device's stream by hand: TLS 1.3 and just enough HTTP/2 to send as fast as it is read.

gRPC's own Python client costs more per message than the server under test, so it would measure
itself. Each heartbeat is one TLS record and one system call, as with real devices; flow control is
honoured, so what is sent is what the server takes.
"""

import socket
import ssl
import struct

from fleetd.pb.internal.agent.v1 import agent_pb2 as pb

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
STREAM = 1
PATH = b"/internal.agent.v1.AgentService/Connect"
BEAT = pb.Heartbeat(
    cpu_ratio=0.37, memory_ratio=0.61, disk_ratio=0.42, uptime_seconds=86_400
).SerializeToString()


def client_context(key: str, root: str, chain: str) -> ssl.SSLContext:
    """TLS as a device of ours speaks it; `key` and `chain` are files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(root)
    context.load_cert_chain(chain, key)
    context.set_alpn_protocols(["h2"])
    return context


class Stream:
    """One connection with one stream."""

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        plain = socket.create_connection(("127.0.0.1", port), 60)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self.sequence = 0
        self.sent = 0
        self.responses = 0
        self._windows = {0: 65_535, STREAM: 65_535}
        self._initial = 65_535
        self._buffer = b""
        self._unsent = b""
        self.is_over = False

    def open(self) -> None:
        """Says Hello; does not wait for the answer."""
        hello = pb.ConnectRequest(sequence=1, hello=pb.Hello(agent_version="bench"))
        self.sequence = 1
        headers = _frame(HEADERS, 4, STREAM, _header_block())
        message = _data(hello.SerializeToString())
        self.socket.sendall(PREFACE + _frame(SETTINGS, 0, 0, b"") + headers + message)
        self._take_window(len(message) - 9)
        self.socket.setblocking(False)

    def beat(self) -> bool:
        """Sends one heartbeat; False where the server does not take it now."""
        if self._unsent and not self._flush():
            return False
        self.sequence += 1
        message = b"\x08" + _varint(self.sequence) + b"\x1a" + _varint(len(BEAT)) + BEAT
        size = len(message) + 5
        if min(self._windows.values()) < size:
            self.sequence -= 1
            return False
        self._take_window(size)
        self._unsent = _data(message)
        self.sent += 1
        return self._flush()

    def read(self) -> None:
        """Takes what the server has sent: windows, pings, responses."""
        try:
            while chunk := self.socket.recv(65_536):
                self._buffer += chunk
            self.is_over = True
        except ssl.SSLWantReadError:
            pass
        except OSError:
            self.is_over = True
        while len(self._buffer) >= 9:
            length = int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < 9 + length:
                return
            kind, flags = self._buffer[3], self._buffer[4]
            stream = int.from_bytes(self._buffer[5:9], "big") & 0x7FFFFFFF
            payload = self._buffer[9 : 9 + length]
            self._buffer = self._buffer[9 + length :]
            self._take(kind, flags, stream, payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            self._windows[stream] = self._windows.get(stream, 0) + struct.unpack(">I", payload)[0]
        elif kind == SETTINGS and not flags & 1:
            for start in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[start : start + 6])
                if name == 4:
                    self._windows[STREAM] += value - self._initial
                    self._initial = value
            self._reply(_frame(SETTINGS, 1, 0, b""))
        elif kind == PING and not flags & 1:
            self._reply(_frame(PING, 1, 0, payload))
        elif kind == DATA:
            self.responses += 1
        elif kind == GOAWAY:
            self.is_over = True

    def _reply(self, frame: bytes) -> None:
        self._unsent += frame
        self._flush()

    def _flush(self) -> bool:
        try:
            written = self.socket.send(self._unsent)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return False
        except OSError:
            self.is_over = True
            return False
        self._unsent = self._unsent[written:]
        return not self._unsent

    def _take_window(self, size: int) -> None:
        for stream in self._windows:
            self._windows[stream] -= size


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _data(message: bytes) -> bytes:
    return _frame(DATA, 0, STREAM, b"\0" + struct.pack(">I", len(message)) + message)


def _header_block() -> bytes:
    """HPACK without compression: literals, never indexed."""
    pairs = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", PATH),
        (b":authority", b"127.0.0.1"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    ]
    return b"".join(
        b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in pairs
    )


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
