"""fleetctl rollouts forecast: what a rollout may be expected to do, before it starts."""

import argparse
import sys
from typing import Any

from fleetctl.client import quoted
from fleetctl.output import UNITS, Columns, show_list, show_one
from fleetctl.sign_in import connect
from fleetctl.verbs import verb

COLUMNS: Columns = (
    ("WHAT", "name"),
    ("DEVICES", "devices"),
    ("P10", "p10"),
    ("P50", "p50"),
    ("P90", "p90"),
)
FIGURES = (
    ("failures", "devices that fail"),
    ("peak_mbit", "peak Mbit/s"),
    ("missed", "devices too late"),
)


def add_forecast(verbs: Any, common: argparse.ArgumentParser) -> None:
    """`fleetctl rollouts forecast ID`."""
    examples = "fleetctl rollouts forecast ID\nfleetctl rollouts forecast ID --seed 7 --runs 200"
    text = "say what it may be expected to do, before it starts"
    parser = verb(verbs, common, "forecast", text, examples, _forecast)
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--seed", type=int, default=1, help="the same gives the same again")
    parser.add_argument("--runs", type=int, default=100, help="1 to 500; fewer for many devices")


def _forecast(options: argparse.Namespace) -> int:
    path = f"rollouts/{quoted(options.id)}/forecast"
    answer = connect(options).get(path, seed=options.seed, runs=options.runs)
    if options.output == "json":
        show_one(answer, options.output)
        return 0
    show_list(_rows(answer), COLUMNS, options.output)
    sys.stdout.write("".join(f"{line}\n" for line in _lines(answer)))
    return 0


def _rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Times after the beginning for each phase and the whole, and the other figures."""
    rows = [
        {"name": f"{phase['name']} passed", "devices": phase["devices"], **_times(phase)}
        for phase in answer["phases"]
    ]
    rows.append({"name": "finished", "devices": answer["devices"], **_times(answer)})
    for key, name in FIGURES:
        figures = answer[key] or {}
        rows.append({"name": name, **{rank: _number(figures.get(rank)) for rank in _RANKS}})
    return rows


_RANKS = ("p10", "p50", "p90")


def _times(item: dict[str, Any]) -> dict[str, str]:
    found = item["finish_seconds"] or {}
    return {rank: _length(found.get(rank)) for rank in _RANKS}


def _length(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    unit, size = next((u for u in UNITS if seconds >= 1.5 * u[1]), UNITS[-1])
    return f"{seconds / size:.1f}{unit}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _lines(answer: dict[str, Any]) -> list[str]:
    """What the figures are based on, and what they leave out."""
    known, devices = answer["devices_with_history"], answer["devices"]
    lines = [
        f"halted by a gate in {answer['halted']:.0%}, complete in {answer['completed']:.0%} of"
        f" {answer['runs']} runs (seed {answer['seed']})",
        f"based on the history of {known} of {devices} devices over"
        f" {_length(86400 * answer['history_days'])}"
        + ("" if known == devices else "; the others were taken as like them"),
    ]
    if not known:
        lines[1] = "no device was watched for a quarter of an hour yet: taken as always online"
    if answer["at_risk"]:
        names = ", ".join(device["name"] for device in answer["at_risk"])
        lines.append(f"late in most runs: {names}")
    if answer["unforeseen"]:
        lines.append(f"not foreseen: {', '.join(answer['unforeseen'])}")
    return ["".join(c if c.isprintable() else " " for c in line) for line in lines]
