"""How devices install: with whose consent, how fast, how often, and what they may not do."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from apps.updates.domain.problems import BadPlan

MAX_ATTEMPTS = 10
MAX_BACKOFF_SECONDS = 24 * 3600
MAX_STEP_SECONDS = 7 * 24 * 3600
TIMED_STEPS = ("downloading", "installing", "rebooting", "verifying")


class Mode(StrEnum):
    """Who decides when a device installs what it has downloaded."""

    FORCED = "forced"
    CONFIRMED = "confirmed"
    DOWNLOAD_ONLY = "download_only"


class Reboot(StrEnum):
    """When a device may restart for an update."""

    WHEN_NEEDED = "when_needed"
    IN_WINDOW = "in_window"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Installation:
    """What the devices of a rollout are told besides what to install.

    Bytes and seconds; 0 is no limit. `step_timeouts` are seconds by step.
    """

    mode: Mode = Mode.FORCED
    reboot: Reboot = Reboot.WHEN_NEEDED
    maximum_bytes_per_second: int = 0
    maximum_attempts: int = 1
    backoff_seconds: int = 60
    step_timeouts: Mapping[str, int] = field(default_factory=dict)
    allow_downgrade: bool = False

    def check(self) -> None:
        """Raises `BadPlan`."""
        _check("maximum_bytes_per_second", self.maximum_bytes_per_second, 0, 1 << 40)
        _check("maximum_attempts", self.maximum_attempts, 1, MAX_ATTEMPTS)
        _check("backoff_seconds", self.backoff_seconds, 0, MAX_BACKOFF_SECONDS)
        for step, seconds in self.step_timeouts.items():
            if step not in TIMED_STEPS:
                known = ", ".join(TIMED_STEPS)
                raise BadPlan("installation.step_timeouts", f"Steps with a limit are: {known}.")
            _check(f"step_timeouts.{step}", seconds, 1, MAX_STEP_SECONDS)

    def backoff(self, attempt: int) -> int:
        """Seconds to wait after this many failed attempts: doubled each time, a day at most."""
        return min(self.backoff_seconds << (attempt - 1), MAX_BACKOFF_SECONDS)

    def dump(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {**asdict(self), "mode": self.mode.value, "reboot": self.reboot.value}

    @classmethod
    def restore(cls, dumped: Mapping[str, Any]) -> "Installation":
        """What `dump` was given."""
        known = {**dumped, "mode": Mode(dumped["mode"]), "reboot": Reboot(dumped["reboot"])}
        return cls(**known)


def _check(name: str, number: int, low: int, high: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
        raise BadPlan(f"installation.{name}", f"This is a whole number from {low} to {high}.")
