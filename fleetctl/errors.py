"""What can go wrong for the person at the keyboard, and the exit code of each."""

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

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.exit_code = EXIT_CODES.get(status, ERROR)


EXIT_CODES = {
    400: USAGE,
    401: AUTH_NEEDED,
    403: FORBIDDEN,
    404: NOT_FOUND,
    409: CONFLICT,
    412: CONFLICT,
    422: USAGE,
}
