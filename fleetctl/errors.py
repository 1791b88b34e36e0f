"""What can go wrong for the person at the keyboard, and the exit code of each."""

from collections.abc import Mapping
from typing import Any

OK = 0
ERROR = 1
USAGE = 2
NOT_FOUND = 3
AUTH_NEEDED = 4
FORBIDDEN = 5
CONFLICT = 6
PARTIAL = 7
UNREACHABLE = 8


class CommandError(Exception):
    """Printed as `error: …` without a traceback."""

    exit_code = ERROR


class UsageError(CommandError):
    """The command was given wrongly."""

    exit_code = USAGE


class Unreachable(CommandError):
    """The server does not answer."""

    exit_code = UNREACHABLE


class NeedsSignIn(CommandError):
    """Nobody is signed in, or not any more."""

    exit_code = AUTH_NEEDED


class Refused(CommandError):
    """The server answered with an error."""

    def __init__(self, status: int, text: str, metadata: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.exit_code = EXIT_CODES.get(status, ERROR)
        self.metadata = dict(metadata or {})

    def pointing_at(self, text: str) -> "Refused":
        """The same with the filter that was given, and marks under what is wrong with it."""
        column, end = self.metadata.get("column"), self.metadata.get("end")
        if text and isinstance(column, int) and isinstance(end, int):
            line = " ".join(text.split("\n"))
            marks = " " * (column - 1) + "^" * max(1, end - column + 1)
            self.args = (f"{self}\n  {line}\n  {marks}",)
        return self


EXIT_CODES = {
    400: USAGE,
    401: AUTH_NEEDED,
    403: FORBIDDEN,
    404: NOT_FOUND,
    409: CONFLICT,
    412: CONFLICT,
    422: USAGE,
}
