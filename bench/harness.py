"""What every benchmark shares: measuring sides in turn, printing them, and keeping the result.

Absolute figures move with the machine, so each benchmark measures all its sides in one run, in
turn, and reports medians and ratios. A result is one JSON file in `bench/results/`, with the
machine, the commit and the command.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"


@dataclass(frozen=True)
class Side:
    """One way of doing the work: its median rate, and what else was measured of it."""

    name: str
    rate: float
    unit: str
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Goal:
    """What performance.md asks for, and what was measured."""

    text: str
    measured: float
    is_met: bool


@dataclass(frozen=True)
class Result:
    """One benchmark: `id` as in docs/reference/performance.md."""

    id: str
    title: str
    command: str
    sides: Sequence[Side]
    goals: Sequence[Goal]
    notes: Sequence[str] = ()


def median_of_rounds(rounds: int, sides: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Runs all sides in turn, `rounds` times, and gives each one's median."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            taken[name].append(run())
    return {name: statistics.median(values) for name, values in taken.items()}


def keep(result: Result) -> Path:
    """Prints the result as a table and writes it to bench/results/<id>.json."""
    print(f"\n{result.id}  {result.title}")
    for side in result.sides:
        details = "  ".join(f"{k} {v:,.4g}" for k, v in side.details.items())
        print(f"  {side.name:<42} {side.rate:>14,.1f} {side.unit:<12} {details}")
    for goal in result.goals:
        print(f"  {'met    ' if goal.is_met else 'NOT MET'} {goal.text}: {goal.measured:,.4g}")
    for note in result.notes:
        print(f"  note: {note}")
    print(f"  repeat: {result.command}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{result.id}.json"
    path.write_text(json.dumps({**asdict(result), **_circumstances()}, indent=2) + "\n")
    return path


def _circumstances() -> dict[str, object]:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "commit": commit.stdout.strip(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": sys.version.split()[0],
        },
    }
