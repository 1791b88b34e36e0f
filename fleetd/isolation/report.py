"""What a walk found, door by door."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

SHOWN_EVERY_SECONDS = 0.1


def _nothing(_: str) -> None:
    """Shows nothing."""


@dataclass
class DoorReport:
    """One door: what was called there and what came through."""

    door: str
    operations: int = 0
    calls: int = 0
    leaks: list[str] = field(default_factory=list)
    not_walked: list[str] = field(default_factory=list)
    seconds: float = 0.0
    say: Callable[[str], None] = _nothing
    _said: float = 0.0

    def begin(self, operation: str) -> None:
        """Counts one operation, and shows now and then where the walk is."""
        self.operations += 1
        if time.monotonic() - self._said > SHOWN_EVERY_SECONDS:
            self.say(f"{self.door}: {self.calls:,} calls, at {operation}")
            self._said = time.monotonic()

    @property
    def is_clean(self) -> bool:
        """Whether everything was walked and nothing leaked."""
        return not (self.leaks or self.not_walked)

    def leak(self, where: str, what: str) -> None:
        """Notes that something of the other organization came through."""
        _add(self.leaks, f"{where}: {what}")

    def skip(self, where: str, why: str) -> None:
        """Notes that something could not be walked."""
        _add(self.not_walked, f"{where}: {why}")

    @contextmanager
    def timed(self) -> Iterator["DoorReport"]:
        """Measures what is walked inside."""
        began = time.monotonic()
        try:
            yield self
        finally:
            self.seconds += time.monotonic() - began

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "door": self.door,
            "operations": self.operations,
            "calls": self.calls,
            "leaks": self.leaks,
            "not_walked": self.not_walked,
            "seconds": round(self.seconds, 1),
        }


def _add(known: list[str], text: str) -> None:
    if text not in known:
        known.append(text)


def table(reports: list[DoorReport]) -> str:
    """The doors as a table for people, with a line for all of them."""
    rows: list[tuple[str, ...]] = [
        ("door", "operations", "calls", "leaks", "not walked", "seconds")
    ]
    rows += [_row(report) for report in [*reports, total(reports)]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]
    return "\n".join([lines[0], *lines[1:-1], "-" * len(lines[0]), lines[-1]])


def total(reports: list[DoorReport]) -> DoorReport:
    """All doors as one."""
    whole = DoorReport("total")
    for report in reports:
        whole.operations += report.operations
        whole.calls += report.calls
        whole.seconds += report.seconds
        whole.leaks += [f"{report.door}: {each}" for each in report.leaks]
        whole.not_walked += [f"{report.door}: {each}" for each in report.not_walked]
    return whole


def _row(report: DoorReport) -> tuple[str, ...]:
    numbers = (report.operations, report.calls, len(report.leaks), len(report.not_walked))
    return (report.door, *(f"{n:,}" for n in numbers), f"{report.seconds:.1f}")
