"""P1: coalesced heartbeats against one ORM UPDATE per heartbeat and against doing nothing.

The three gateways run side by side; load goes to one after the other, in turn.
"""

import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench.gateway.installation import installation
from bench.harness import Goal, Result, Side, keep

PORTS = {"nothing": 18240, "product": 18241, "update": 18242}
NAMES = {
    "nothing": "the same stream, doing nothing",
    "product": "coalesced, flushed every 250 ms",
    "update": "one ORM UPDATE per heartbeat",
}
DEVICES = int(os.environ.get("BENCH_DEVICES", "200"))
GENERATORS = int(os.environ.get("BENCH_GENERATORS", "2"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "8"))
WARM_SECONDS = 2.0


def main() -> None:
    """Measures, prints and keeps."""
    with installation() as root, ExitStack() as stack:
        from bench.gateway.fleet import make_fleet

        files = make_fleet(DEVICES, root)
        for mode, port in PORTS.items():
            gateway = subprocess.Popen(
                [sys.executable, "-m", "bench.gateway.serve", mode, str(port), root / mode]
            )
            stack.callback(gateway.wait)
            stack.callback(gateway.terminate)
        for mode in PORTS:
            _wait_for(root / mode)
        taken: dict[str, list[tuple[float, float]]] = {mode: [] for mode in PORTS}
        for _ in range(ROUNDS):
            for mode, port in PORTS.items():
                taken[mode].append(_measure(root / mode, port, root, files))
    _keep(
        {mode: statistics.median(rate for rate, _ in values) for mode, values in taken.items()},
        {mode: statistics.median(each for _, each in values) for mode, values in taken.items()},
    )


def _keep(rates: dict[str, float], each: dict[str, float]) -> None:
    gained, kept = rates["product"] / rates["update"], rates["product"] / rates["nothing"]
    keep(
        Result(
            id="P1",
            title=f"heartbeats over mutual TLS, {DEVICES} devices, one gateway process",
            command="make bench, or python -m bench heartbeats",
            sides=[
                Side(NAMES[mode], rate, "messages/s", {"cpu_us_per_message": each[mode]})
                for mode, rate in rates.items()
            ],
            goals=[
                Goal("at least 10 times one UPDATE per heartbeat", gained, gained >= 10),
                Goal("at least 70 % of doing nothing", kept, kept >= 0.7),
            ],
            notes=[
                f"medians of {ROUNDS} rounds of {SECONDS:g} s, load by {GENERATORS} processes of a "
                "hand-written HTTP/2 client on the same cores; one TLS record per heartbeat",
                "cpu_us_per_message is the gateway process alone, without PostgreSQL",
                "rates are what the gateway has taken; flow control holds the clients back",
                f"load average while measuring: {os.getloadavg()[0]:.1f}",
            ],
        )
    )


def _measure(counts: Path, port: int, root: Path, files: list[Path]) -> tuple[float, float]:
    share = DEVICES // GENERATORS
    generators = []
    for number in range(GENERATORS):
        part = root / f"part-{number}.json"
        _share_out(files, part, number * share, share)
        generators.append(
            subprocess.Popen(
                [sys.executable, "-m", "bench.gateway.load", str(port), str(SECONDS), str(share)]
                + [str(root), str(part)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    for generator in generators:
        generator.stdout.readline()  # type: ignore[union-attr]
    time.sleep(WARM_SECONDS)
    began = _read(counts)
    time.sleep(SECONDS - WARM_SECONDS - 1.0)
    ended = _read(counts)
    for generator in generators:
        generator.communicate()
    messages = ended[1] - began[1]
    return messages / (ended[0] - began[0]), 1e6 * (ended[2] - began[2]) / max(1, messages)


def _share_out(files: list[Path], part: Path, start: int, count: int) -> None:
    import json

    chains = [chain for file in files for chain in json.loads(file.read_text())]
    part.write_text(json.dumps(chains[start : start + count]))


def _read(counts: Path) -> tuple[float, int, float]:
    from bench.gateway.serve import COUNTS

    at, received, _, spent = COUNTS.unpack(counts.read_bytes())
    return at, received, spent


def _wait_for(counts: Path) -> None:
    deadline = time.monotonic() + 60
    while not counts.exists() or not counts.stat().st_size:
        if time.monotonic() > deadline:
            sys.exit("a gateway did not start")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
