"""P3: idle streams on connections of their own, in one gateway process: memory and connects."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.gateway.installation import installation
from bench.harness import Goal, Result, Side, keep

PORT = 18243
STREAMS = int(os.environ.get("BENCH_STREAMS", "10000"))
GENERATORS = int(os.environ.get("BENCH_GENERATORS", "2"))
NAMES = {"bare": "grpc.aio with mutual TLS, no line of ours", "product": "the gateway"}


@dataclass(frozen=True)
class Measured:
    """What one side came to: KB before any stream and for each, and connects a second."""

    before: float
    each: float
    streams: int
    rate: float
    lost: float


def main() -> None:
    """Measures, prints and keeps."""
    with installation() as root:
        from bench.gateway.fleet import make_fleet

        files = make_fleet(STREAMS, root)
        measured = {mode: _measure(mode, root, files) for mode in NAMES}
    _keep(measured)


def _measure(mode: str, root: Path, files: list[Path]) -> Measured:
    """One gateway, alone, filled with streams."""
    counts = root / mode
    with ExitStack() as stack:
        gateway = subprocess.Popen(
            [sys.executable, "-m", "bench.gateway.serve", mode, str(PORT), counts]
        )
        stack.callback(gateway.wait)
        stack.callback(gateway.terminate)
        while not counts.exists() or not counts.stat().st_size:
            time.sleep(0.1)
        time.sleep(2)
        before = _resident(gateway.pid)
        seconds, lost = _open_all(stack, root, files)
        time.sleep(10)
        streams = _streams(counts)
        each = (_resident(gateway.pid) - before) / max(1, streams)
        return Measured(before, each, streams, streams / seconds, lost)


def _keep(measured: dict[str, Measured]) -> None:
    product = measured["product"]
    keep(
        Result(
            id="P3",
            title=f"{STREAMS} idle streams over mutual TLS, one gateway process",
            command="make bench, or python -m bench idle_streams",
            sides=[
                Side(
                    NAMES[mode],
                    m.each,
                    "KB each",
                    {"streams": m.streams, "connects_per_s": m.rate, "before_KB": m.before},
                )
                for mode, m in measured.items()
            ],
            goals=[
                Goal(
                    "10,000 streams held",
                    product.streams,
                    product.streams >= 10_000 and not product.lost,
                ),
                Goal("45 KB each or less", product.each, product.each <= 45),
                Goal("1,500 connects/s", product.rate, product.rate >= 1500),
            ],
            notes=[
                f"{GENERATORS} clients in Python on the same cores: connects/s is theirs as much "
                "as the gateway's; each has its own TLS handshake",
                "the product also authenticates each certificate and opens a session in PostgreSQL",
                f"load average while measuring: {os.getloadavg()[0]:.1f}",
            ],
        )
    )


def _open_all(stack: ExitStack, root: Path, files: list[Path]) -> tuple[float, float]:
    """Opens all streams and leaves them open; the slowest client's seconds, and streams lost."""
    generators = []
    for number in range(GENERATORS):
        mine = files[number::GENERATORS]
        generator = subprocess.Popen(
            [sys.executable, "-m", "bench.gateway.load", str(PORT), "0", str(STREAMS), str(root)]
            + [str(file) for file in mine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(generator.wait)
        stack.callback(generator.stdin.close)  # type: ignore[union-attr]
        generators.append(generator)
    said = [json.loads(g.stdout.readline()) for g in generators]  # type: ignore[union-attr]
    return max(s["seconds"] for s in said), sum(s["lost"] for s in said)


def _resident(pid: int) -> float:
    for text in Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith("VmRSS:"):
            return float(text.split()[1])
    return 0.0


def _streams(counts: Path) -> int:
    from bench.gateway.serve import COUNTS

    return int(COUNTS.unpack(counts.read_bytes())[2])


if __name__ == "__main__":
    main()
