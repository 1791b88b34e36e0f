"""What passes between updates and the rest: inputs, offers, reports and events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from apps.events.types import Event

if TYPE_CHECKING:
    from apps.updates.domain.plan import Plan

HOOK_NAMES = ("before", "after", "verify", "roll_back")


@dataclass(frozen=True, slots=True)
class Target:
    """Which devices: a device that any of these names is meant; nothing at all means every one."""

    device_ids: tuple[UUID, ...] = ()
    tags: tuple[str, ...] = ()
    group_ids: tuple[UUID, ...] = ()
    filter: str = ""
    # Of those that the rest means, the ones that failed in this rollout.
    failed_in: UUID | None = None
    # Of those, the ones that gave this reason; empty for all.
    failed_because: str = ""
    # Of all these, so many percent and at most so many get the release: those that come first in
    # the rollout's order. 0 for all.
    percent: int = 0
    maximum: int = 0

    @property
    def is_groups(self) -> bool:
        """Whether it names groups and nothing besides."""
        names_others = self.device_ids or self.tags or self.filter.strip()
        return bool(self.group_ids) and not names_others

    @property
    def is_everything(self) -> bool:
        """Whether it names nothing, and so means every device."""
        return self == Target()

    @property
    def is_partial(self) -> bool:
        """Whether only some of those that it means get the release."""
        return bool(self.percent or self.maximum)

    def places(self, total: int) -> int:
        """How many of `total` devices that could get the release do: the percentage, rounded up,
        and no more than the maximum."""
        share = (total * self.percent + 99) // 100 if self.percent else total
        return min(share, self.maximum) if self.maximum else share

    def stored(self) -> dict[str, Any]:
        """As JSON holds it: every name once, in order."""
        stored: dict[str, Any] = {
            "device_ids": sorted({str(i) for i in self.device_ids}),
            "tags": sorted(set(self.tags)),
            "group_ids": sorted({str(i) for i in self.group_ids}),
        }
        if self.filter.strip():
            stored["filter"] = self.filter.strip()
        if self.failed_in:
            stored["failed_in"] = str(self.failed_in)
        if self.failed_because:
            stored["failed_because"] = self.failed_because
        if self.percent:
            stored["percent"] = self.percent
        if self.maximum:
            stored["maximum"] = self.maximum
        return stored

    @classmethod
    def restore(cls, stored: Mapping[str, Any]) -> "Target":
        """The target that `stored()` came from."""
        return cls(
            device_ids=tuple(UUID(text) for text in stored.get("device_ids", ())),
            tags=tuple(stored.get("tags", ())),
            group_ids=tuple(UUID(text) for text in stored.get("group_ids", ())),
            filter=stored.get("filter", ""),
            failed_in=UUID(stored["failed_in"]) if stored.get("failed_in") else None,
            failed_because=stored.get("failed_because", ""),
            percent=stored.get("percent", 0),
            maximum=stored.get("maximum", 0),
        )


@dataclass(frozen=True, slots=True)
class NewComponent:
    """One part of a release to be made.

    `hooks` maps some of before, after, verify and roll_back to {"command": ["…"],
    "timeout_seconds": n}; commands run on the device without a shell. `install_options` and
    `checks` are as `domain.install_options` and `domain.checks` say.
    """

    name: str
    kind: str
    artifact_id: UUID
    target: str = ""
    file_mode: int = 0
    hooks: Mapping[str, Any] = field(default_factory=dict)
    install_options: Mapping[str, str] = field(default_factory=dict)
    checks: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Compatibility:
    """Onto what a release fits. `compatible` is a filter over devices, empty for all; `requires`
    and `conflicts` are pairs of a component's name and a range of its installed versions, as
    ">=1.2, <2.0" or "*" for any.
    """

    compatible: str = ""
    requires: Sequence[tuple[str, str]] = ()
    conflicts: Sequence[tuple[str, str]] = ()
    is_stepping_stone: bool = False


@dataclass(frozen=True, slots=True)
class OfferedComponent:
    """One part of a release as a device is offered it; `url` is absolute and short-lived."""

    name: str
    version: str
    kind: str
    sha256: str
    size_bytes: int
    url: str
    target: str
    file_mode: int
    hooks: Mapping[str, Any]
    install_options: Mapping[str, str] = field(default_factory=dict)
    checks: Sequence[Mapping[str, Any]] = ()
    # What it is called in the signed targets.
    target_path: str = ""

    def linked(self, url: str) -> "OfferedComponent":
        """The same under a link of its own; written out, because `replace` takes five times as long
        and every offer has at least one of these."""
        return OfferedComponent(
            self.name,
            self.version,
            self.kind,
            self.sha256,
            self.size_bytes,
            url,
            self.target,
            self.file_mode,
            self.hooks,
            self.install_options,
            self.checks,
            self.target_path,
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """A deployment, as it is offered to its device."""

    deployment_id: UUID
    device_id: UUID
    rollout_id: UUID
    release_name: str
    release_version: str
    components: tuple[OfferedComponent, ...]
    lease_seconds: int
    deadline: datetime
    # atomic or sequential; empty is atomic.
    bundle_mode: str = ""
    # How and when to install; at once and without limits where there is none.
    plan: "Plan | None" = None
    # What `services.instructions` adds: see internal.agent.v1.DeploymentOffer.
    allow_downgrade: bool = False
    instruction: bytes = b""
    repository_url: str = ""
    targets_url: str = ""
    is_trial_unsigned: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What a device says about a deployment; `step` is a deployment state."""

    device_id: UUID
    deployment_id: UUID
    report_sequence: int
    step: str
    progress_percent: int | None = None
    reason_code: str = ""
    message: str = ""
    log_tail: str = ""


@dataclass(frozen=True, slots=True)
class ReportResult:
    """What became of a report.

    `outcome` is stored, duplicate, ignored, reconciled (a last word after the time-out) or
    not_found (also: the deployment of another device). `is_terminal`: the platform is through
    with the deployment, so the device should stop working on it.
    """

    device_id: UUID
    deployment_id: UUID
    report_sequence: int
    outcome: str
    is_terminal: bool


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A deployment that its device should stop working on, and why."""

    deployment_id: UUID
    device_id: UUID
    reason: str


@dataclass(frozen=True, kw_only=True)
class ArtifactStored(Event):
    """A file was uploaded."""

    type: ClassVar[str] = "updates.artifact.stored.v1"

    artifact_id: UUID

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """The lists that rollouts are made from."""
        return (f"org.{organization_id}.rollouts",)


@dataclass(frozen=True, kw_only=True)
class ReleaseChange(Event):
    """Something that happened to one release."""

    release_id: UUID

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """The lists that rollouts are made from."""
        return (f"org.{organization_id}.rollouts",)


@dataclass(frozen=True, kw_only=True)
class ReleaseRecalled(ReleaseChange):
    """A release was taken back: its rollouts have to stop."""

    type: ClassVar[str] = "updates.release.recalled.v1"

    reason: str


@dataclass(frozen=True, kw_only=True)
class ReleaseDeprecated(ReleaseChange):
    """A release is advised against."""

    type: ClassVar[str] = "updates.release.deprecated.v1"


@dataclass(frozen=True, kw_only=True)
class ReleaseRemoved(ReleaseChange):
    """The files of a release are gone."""

    type: ClassVar[str] = "updates.release.removed.v1"


@dataclass(frozen=True, kw_only=True)
class ReleasePromoted(ReleaseChange):
    """A channel points at a release from now on."""

    type: ClassVar[str] = "updates.release.promoted.v1"

    channel: str


@dataclass(frozen=True, kw_only=True)
class ReleaseChannelClosed(ReleaseChange):
    """A channel points at nothing any more; the release is the one that it pointed at."""

    type: ClassVar[str] = "updates.release.channel_closed.v1"

    channel: str


@dataclass(frozen=True, kw_only=True)
class RolloutChange(Event):
    """Something that happened to one rollout."""

    rollout_id: UUID

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """The rollout, the list, and the totals."""
        org = f"org.{organization_id}"
        return (f"rollout.{self.rollout_id}", f"{org}.rollouts", f"{org}.summary")


@dataclass(frozen=True, kw_only=True)
class RolloutCreated(RolloutChange):
    """A rollout was planned."""

    type: ClassVar[str] = "updates.rollout.created.v1"


@dataclass(frozen=True, kw_only=True)
class RolloutSubmitted(RolloutChange):
    """A plan was submitted."""

    type: ClassVar[str] = "updates.rollout.submitted.v1"


@dataclass(frozen=True, kw_only=True)
class RolloutApproved(RolloutChange):
    """A plan was approved."""

    type: ClassVar[str] = "updates.rollout.approved.v1"


@dataclass(frozen=True, kw_only=True)
class RolloutRejected(RolloutChange):
    """A plan was sent back to its maker."""

    type: ClassVar[str] = "updates.rollout.rejected.v1"


@dataclass(frozen=True, kw_only=True)
class RolloutEdited(RolloutChange):
    """A plan was replaced; what was approved is so no more."""

    type: ClassVar[str] = "updates.rollout.edited.v1"


@dataclass(frozen=True, kw_only=True)
class RollbackStarted(RolloutChange):
    """Devices are being brought back, by the rollout `rollback_id`."""

    type: ClassVar[str] = "updates.rollout.rollback_started.v1"

    rollback_id: UUID


@dataclass(frozen=True, kw_only=True)
class RollbackEnded(RolloutChange):
    """The devices have what they had before, or their roll back was stopped."""

    type: ClassVar[str] = "updates.rollout.rollback_ended.v1"

    rollback_id: UUID


@dataclass(frozen=True, kw_only=True)
class RolloutStarted(RolloutChange):
    """A rollout began."""

    type: ClassVar[str] = "updates.rollout.started.v1"


@dataclass(frozen=True, kw_only=True)
class RolloutPaused(RolloutChange):
    """No further device starts until it is resumed."""

    type: ClassVar[str] = "updates.rollout.paused.v1"


@dataclass(frozen=True, kw_only=True)
class RolloutResumed(RolloutChange):
    """Devices start again."""

    type: ClassVar[str] = "updates.rollout.resumed.v1"


@dataclass(frozen=True, kw_only=True)
class DevicesExcluded(RolloutChange):
    """A person lets the rollout go on without some devices, `waiting` of which had not begun."""

    type: ClassVar[str] = "updates.rollout.devices_excluded.v1"

    devices: str
    waiting: int


@dataclass(frozen=True, kw_only=True)
class RolloutCancelled(RolloutChange):
    """A rollout was ended by a person."""

    type: ClassVar[str] = "updates.rollout.cancelled.v1"


@dataclass(frozen=True, kw_only=True)
class RolloutHalted(RolloutChange):
    """A gate failed."""

    type: ClassVar[str] = "updates.rollout.halted.v1"

    reason: str


@dataclass(frozen=True, kw_only=True)
class RolloutCompleted(RolloutChange):
    """The last gate was passed."""

    type: ClassVar[str] = "updates.rollout.completed.v1"


@dataclass(frozen=True, kw_only=True)
class RolloutProgressed(RolloutChange):
    """The scheduler noted new counts."""

    type: ClassVar[str] = "updates.rollout.progressed.v1"


@dataclass(frozen=True, kw_only=True)
class DevicesJoined(RolloutChange):
    """Devices that match its target since came into a dynamic rollout."""

    type: ClassVar[str] = "updates.rollout.joined.v1"

    count: int


@dataclass(frozen=True, kw_only=True)
class RolloutClosed(RolloutChange):
    """No further device joins a dynamic rollout."""

    type: ClassVar[str] = "updates.rollout.closed.v1"


@dataclass(frozen=True, kw_only=True)
class PhaseOpened(RolloutChange):
    """The devices of a phase may start; `index` counts from 0."""

    type: ClassVar[str] = "updates.phase.opened.v1"

    index: int


@dataclass(frozen=True, kw_only=True)
class PhaseApproved(RolloutChange):
    """A person let a phase open; `index` counts from 0."""

    type: ClassVar[str] = "updates.phase.approved.v1"

    index: int


@dataclass(frozen=True, kw_only=True)
class PhasePromoted(RolloutChange):
    """A phase passed its gate."""

    type: ClassVar[str] = "updates.phase.promoted.v1"

    index: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class SigningMetadataPublished(Event):
    """There are new root or targets metadata: other releases are signed than before."""

    type: ClassVar[str] = "updates.signing_metadata.published.v1"

    root_version: int
    targets_version: int

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """Nobody watches them live."""
        return ()


@dataclass(frozen=True, kw_only=True)
class DeploymentOffered(RolloutChange):
    """Devices were handed their deployments: one event for all that were handed out together."""

    type: ClassVar[str] = "updates.deployment.offered.v1"

    count: int


@dataclass(frozen=True, kw_only=True)
class DeploymentProgressed(RolloutChange):
    """Devices reported steps: one event for all that reported together.

    `device_ids` names them as long as they are few.
    """

    type: ClassVar[str] = "updates.deployment.progressed.v1"

    count: int
    device_ids: Sequence[str] = ()

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """The rollout, and the devices."""
        devices = (f"device.{device_id}" for device_id in self.device_ids)
        return (f"rollout.{self.rollout_id}", *devices)


@dataclass(frozen=True, kw_only=True)
class DeploymentFinished(RolloutChange):
    """One device is through with its deployment; `state` says how."""

    type: ClassVar[str] = "updates.deployment.finished.v1"

    deployment_id: UUID
    device_id: UUID
    state: str
    reason_code: str = ""

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        """The rollout and the device."""
        return (f"rollout.{self.rollout_id}", f"device.{self.device_id}")
