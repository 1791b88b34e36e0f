"""What the person at the console sees: one short line per event."""

import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

_WIDTH = 10


class Console:
    """Prints to standard output; a closed terminal never stops the platform."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.is_quiet = False

    @property
    def elapsed_seconds(self) -> float:
        """Since the command began."""
        return time.monotonic() - self._started

    def line(self, text: str = "") -> None:
        """One plain line; none while quiet."""
        if self.is_quiet:
            return
        with suppress(OSError, ValueError):
            print(text, flush=True)  # noqa: T201  this is the console

    def event(self, name: str, text: str) -> None:
        """What happened to one part of the platform, and when."""
        clock = datetime.now().astimezone().strftime("%H:%M:%S")
        self.line(f"  {clock}  {name:<{_WIDTH}} {text}")

    def quote(self, lines: Iterable[str]) -> None:
        """The end of a child's log, set apart."""
        for text in lines:
            self.line(f"      | {text[:200]}")

    def block(self, title: str, rows: Iterable[tuple[str, str]]) -> None:
        """A block that stands out: what somebody needs next."""
        self.line()
        self.line(f"  {title}")
        for name, text in rows:
            self.line(f"    {name:<14} {text}")
        self.line()

    def problem(self, text: str) -> None:
        """What went wrong, on standard error."""
        with suppress(OSError, ValueError):
            print(f"fleetd: {text}", file=sys.stderr, flush=True)  # noqa: T201
