"""What the engine speaks: offers, components, steps and reports, free of any wire format."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

LOG_TAIL_CHARACTERS = 16_000
MESSAGE_CHARACTERS = 1_000


class Step(StrEnum):
    """The steps of a deployment that the platform is told."""

    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    INSTALLING = "installing"
    REBOOTING = "rebooting"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


TERMINAL_STEPS = frozenset({Step.SUCCEEDED, Step.FAILED, Step.ROLLED_BACK})


@dataclass(frozen=True, slots=True)
class Hook:
    """A command of a release, run without a shell."""

    command: tuple[str, ...]
    timeout_seconds: int


@dataclass(frozen=True, slots=True)
class Component:
    """One file of a release and how it is installed."""

    name: str
    version: str
    kind: str
    sha256: str
    size_bytes: int
    url: str
    target: str = ""
    file_mode: int = 0
    before: Hook | None = None
    after: Hook | None = None
    verify: Hook | None = None
    roll_back: Hook | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A deployment that the platform asks this device to carry out."""

    deployment_id: str
    release_name: str
    release_version: str
    components: tuple[Component, ...]
    lease_seconds: int = 0
    deadline: str = ""

    def deadline_at(self) -> datetime | None:
        """The deadline as a time, None where the offer has none."""
        return datetime.fromisoformat(self.deadline) if self.deadline else None

    def to_json(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The reverse of `to_json`."""
        components = tuple(_component(item) for item in data["components"])
        return cls(**{**data, "components": components})


@dataclass(frozen=True, slots=True)
class Report:
    """One step of one deployment, as told to the platform."""

    deployment_id: str
    sequence: int
    step: Step
    progress_percent: int | None = None
    reason_code: str = ""
    message: str = ""
    log_tail: str = ""
    device_time: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The reverse of `to_json`."""
        return cls(**{**data, "step": Step(data["step"])})


@dataclass(frozen=True, slots=True)
class Outcome:
    """Why a deployment went wrong."""

    reason_code: str
    message: str
    log_tail: str = ""

    @classmethod
    def of(cls, failure: "StepFailed") -> Self:
        """What a failed step leaves in the journal."""
        return cls(failure.reason_code, failure.message, failure.log_tail)


@dataclass(eq=False)
class StepFailed(Exception):
    """A step of an installation failed; `reason_code` is stable and reaches the platform."""

    reason_code: str
    message: str
    log_tail: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.message} ({self.reason_code})"


class LinkExpired(Exception):
    """The file cannot be had by this link now: the platform gives a fresh one when it re-offers."""


def clean_text(text: str, limit: int) -> str:
    """The last `limit` characters without control characters that databases refuse."""
    kept = "".join(c for c in text if c in "\n\t" or (c >= " " and c != "\x7f"))
    return kept[-limit:]


def _component(data: dict[str, Any]) -> Component:
    hooks = {
        name: Hook(tuple(data[name]["command"]), data[name]["timeout_seconds"])
        if data.get(name)
        else None
        for name in ("before", "after", "verify", "roll_back")
    }
    return Component(**{**data, **hooks})
