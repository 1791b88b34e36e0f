"""What the engine speaks: offers, components, steps and reports, free of any wire format."""

from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from fleetd_agent.failures import LinkExpired, StepFailed
from fleetd_agent.policy import Bundle, InstallPolicy, Mode, Reboot, Window

LOG_TAIL_CHARACTERS = 16_000
MESSAGE_CHARACTERS = 1_000


class Step(StrEnum):
    """The steps of a deployment that the platform is told."""

    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    INSTALLING = "installing"
    REBOOTING = "rebooting"
    VERIFYING = "verifying"
    WAITING = "waiting"
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
class Check:
    """One way to find out whether a new version works; 0 and "" are filled in by `checks`."""

    probe: str  # http, tcp, heartbeat or command
    name: str = ""
    url: str = ""
    statuses: tuple[int, ...] = ()
    contains: str = ""
    host: str = ""
    port: int = 0
    command: Hook | None = None
    initial_delay_seconds: int = 0
    interval_seconds: int = 0
    timeout_seconds: int = 0
    success_threshold: int = 0
    failure_threshold: int = 0
    deadline_seconds: int = 0


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
    options: dict[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    # What the file is called in the signed targets, and the digest of all that the offer says of
    # this component: see `trust`.
    target_path: str = ""
    description: str = ""

    @property
    def needs_reboot(self) -> bool:
        """Whether the release says that this component works only after a reboot."""
        return self.options.get("reboot", "") == "true"


@dataclass(frozen=True, slots=True)
class Offer:
    """A deployment that the platform asks this device to carry out."""

    deployment_id: str
    release_name: str
    release_version: str
    components: tuple[Component, ...]
    lease_seconds: int = 0
    deadline: str = ""
    # None where the platform sent none: then nothing is asked for, not even the default policy.
    policy: InstallPolicy | None = None
    # Signed by the platform for this device, in JSON; see `trust`.
    instruction: str = ""
    repository_url: str = ""
    is_trial_unsigned: bool = False

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
        policy = _policy(data["policy"]) if data.get("policy") else None
        return cls(**known(cls, {**data, "components": components, "policy": policy}))


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
    waiting_until: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The reverse of `to_json`."""
        return cls(**known(cls, {**data, "step": Step(data["step"])}))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Why a deployment went wrong."""

    reason_code: str
    message: str
    log_tail: str = ""

    @classmethod
    def of(cls, failure: StepFailed) -> Self:
        """What a failed step leaves in the journal."""
        return cls(failure.reason_code, failure.message, failure.log_tail)


def clean_text(text: str, limit: int) -> str:
    """The last `limit` characters, without control characters that databases refuse, and without
    halves of characters (from names of files, say) that no message can hold."""
    text = text.encode(errors="replace").decode()
    kept = "".join(c for c in text if c in "\n\t" or (c >= " " and c != "\x7f"))
    return kept[-limit:]


def known(cls: type[Any], data: dict[str, Any]) -> dict[str, Any]:
    """The values that this version of the agent has fields for.

    After a roll back of the agent itself an older version reads what a newer one has written.
    """
    names = {item.name for item in fields(cls)}
    return {name: value for name, value in data.items() if name in names}


def _component(data: dict[str, Any]) -> Component:
    hooks = {name: _hook(data.get(name)) for name in ("before", "after", "verify", "roll_back")}
    checks = tuple(_check(item) for item in data.get("checks", ()))
    return Component(**known(Component, {**data, **hooks, "checks": checks}))


def _hook(data: dict[str, Any] | None) -> Hook | None:
    return Hook(tuple(data["command"]), data["timeout_seconds"]) if data else None


def _check(data: dict[str, Any]) -> Check:
    more = {"command": _hook(data.get("command")), "statuses": tuple(data.get("statuses", ()))}
    return Check(**known(Check, {**data, **more}))


def _policy(data: dict[str, Any]) -> InstallPolicy:
    windows = tuple(
        Window(tuple(item["weekdays"]), item["start_minute"], item["end_minute"])
        for item in data["windows"]
    )
    parsed = {
        "mode": Mode(data["mode"]),
        "windows": windows,
        "blackout_dates": tuple(data["blackout_dates"]),
        "reboot": Reboot(data["reboot"]),
        "bundle": Bundle(data["bundle"]),
        "bundle_sha256": tuple(data["bundle_sha256"]),
    }
    return InstallPolicy(**known(InstallPolicy, {**data, **parsed}))


__all__ = [
    "LOG_TAIL_CHARACTERS",
    "MESSAGE_CHARACTERS",
    "TERMINAL_STEPS",
    "Check",
    "Component",
    "Hook",
    "LinkExpired",
    "Offer",
    "Outcome",
    "Report",
    "Step",
    "StepFailed",
    "clean_text",
    "known",
]
