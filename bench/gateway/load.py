"""One load generator: `python -m bench.gateway.load <port> <seconds> <streams> <folder> <file>…`.

Opens a stream per certificate and, unless `seconds` is 0, sends heartbeats on all of them in turn.
Then holds the streams open until its standard input is closed. Says on standard output, one JSON
object a line, when all streams are open and what was sent.
"""

import json
import select
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.gateway.http2 import Stream, client_context


def main() -> None:
    """Runs one generator."""
    port, seconds, count = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    folder, files = Path(sys.argv[4]), [Path(name) for name in sys.argv[5:]]
    began = time.monotonic()
    poll = select.epoll()
    by_number: dict[int, Stream] = {}
    streams = []
    for stream in _open(port, folder, files, count):
        streams.append(stream)
        by_number[stream.socket.fileno()] = stream
        poll.register(stream.socket, select.EPOLLIN)
        # The gateway's pings are answered meanwhile, or it takes the first streams for dead.
        _read(poll, by_number, 0.0)
    while not all(stream.responses or stream.is_over for stream in streams):
        _read(poll, by_number, 0.1)
    opened = {"opened": len(streams), "seconds": time.monotonic() - began}
    opened["lost"] = sum(stream.is_over for stream in streams)
    print(json.dumps(opened), flush=True)
    sent = _beat(poll, by_number, streams, seconds) if seconds else 0
    print(json.dumps({"sent": sent, "lost": sum(s.is_over for s in streams)}), flush=True)
    if not seconds:
        _hold(poll, by_number)


def _open(port: int, folder: Path, files: list[Path], count: int) -> Iterator[Stream]:
    chains = [chain for file in files for chain in json.loads(file.read_text())][:count]
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as chain_file:
        for chain in chains:
            chain_file.seek(0)
            chain_file.truncate()
            chain_file.write(chain)
            chain_file.flush()
            context = client_context(
                str(folder / "key.pem"), str(folder / "root.pem"), chain_file.name
            )
            stream = Stream(context, port)
            stream.open()
            yield stream


def _beat(
    poll: select.epoll, by_number: dict[int, Stream], streams: list[Stream], seconds: float
) -> int:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sent = sum([stream.beat() for stream in streams])
        _read(poll, by_number, 0.0 if sent else 0.005)
    return sum(stream.sent for stream in streams)


def _hold(poll: select.epoll, by_number: dict[int, Stream]) -> None:
    poll.register(sys.stdin, select.EPOLLIN | select.EPOLLHUP)
    while True:
        for number, _ in poll.poll(1.0):
            if number == sys.stdin.fileno():
                return
            by_number[number].read()


def _read(poll: select.epoll, by_number: dict[int, Stream], timeout: float) -> None:
    for number, _ in poll.poll(timeout):
        stream = by_number[number]
        stream.read()
        if stream.is_over:
            poll.unregister(number)


if __name__ == "__main__":
    main()
