"""P3: idle streams on connections of their own, in one gateway process: memory and connects."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench.gateway.installation import installation
from bench.harness import Goal, Result, Side, keep

PORT = 18243
STREAMS = int(os.environ.get("BENCH_STREAMS", "10000"))
GENERATORS = int(os.environ.get("BENCH_GENERATORS", "2"))


def main() -> None:
    """Measures, prints and keeps."""
    with installation() as root, ExitStack() as stack:
        from bench.gateway.fleet import make_fleet

        files = make_fleet(STREAMS, root)
        counts = root / "product"
        gateway = subprocess.Popen(
            [sys.executable, "-m", "bench.gateway.serve", "product", str(PORT), counts]
        )
        stack.callback(gateway.wait)
        stack.callback(gateway.terminate)
        while not counts.exists():
            time.sleep(0.1)
        time.sleep(2)
        before = _resident(gateway.pid)
        began = time.monotonic()
        seconds, lost = _open_all(stack, root, files)
        opened = time.monotonic() - began
        time.sleep(10)
        after = _resident(gateway.pid)
        streams = _streams(counts)
    _keep(before, after, streams, opened, {"seconds": seconds, "lost": lost})


def _keep(before: float, after: float, streams: int, opened: float, said: dict[str, float]) -> None:
    each = (after - before) / max(1, streams)
    rate = streams / opened
    keep(
        Result(
            id="P3",
            title=f"{STREAMS} idle streams over mutual TLS, one gateway process",
            command="make bench, or python -m bench idle_streams",
            sides=[
                Side("gateway before any stream", before, "KB resident"),
                Side(f"gateway with {streams} streams", after, "KB resident", {"each_KB": each}),
                Side("connects, each with handshake and Hello", rate, "connects/s"),
            ],
            goals=[
                Goal("10,000 streams held", streams, streams >= 10_000 and not said["lost"]),
                Goal("45 KB each or less", each, each <= 45),
                Goal("1,500 connects/s", rate, rate >= 1500),
            ],
            notes=[
                f"{GENERATORS} clients in Python on the same cores: connects/s is theirs as much "
                "as the gateway's",
                "each connect authenticates a certificate and opens a session in PostgreSQL",
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
