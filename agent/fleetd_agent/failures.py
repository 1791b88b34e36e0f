"""How steps of an installation end when they do not end well."""

from dataclasses import dataclass, field


@dataclass(eq=False)
class StepFailed(Exception):
    """A step of an installation failed; `reason_code` is stable and reaches the platform."""

    reason_code: str
    message: str
    log_tail: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.message} ({self.reason_code})"


class TryLater(StepFailed):
    """A command said that it does not suit now: exit code 75, EX_TEMPFAIL."""


class TimedOut(StepFailed):
    """A command did not end in time, and was ended."""


class LinkExpired(Exception):
    """The file cannot be had by this link now: the platform gives a fresh one when it re-offers."""


class Restart(Exception):
    """The agent has to be started anew, to run the version that was just installed."""
