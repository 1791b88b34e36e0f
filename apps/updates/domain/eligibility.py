"""Why a device gets a rollout's deployment now, or why not: one answer for everybody who asks.

`explain` is pure. The scheduler's claims and the start of a rollout decide the same in SQL; tests
compare them on random fleets.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from apps.updates.domain.compatibility import Obstacle
from apps.updates.domain.holds import HoldKind
from apps.updates.domain.rooms import Room, SiteRoom
from apps.updates.domain.states import ACTIVE_DEPLOYMENT_STATES, DeploymentState, RolloutState

ORGANIZATION = "organization"
LIFECYCLE = "lifecycle"
TARGET = "target"
EXCLUDED = "excluded"
NOT_COMPATIBLE = "not_compatible"
ALREADY_INSTALLED = "already_installed"
LATER_INSTALLED = "later_installed"
REQUIRES = "requires"
CONFLICTS = "conflicts"
STEPPING_STONE = "stepping_stone"
PINNED = "pinned"
QUARANTINED = "quarantined"
TARGET_LIMIT = "target_limit"
DEPLOYMENT = "deployment"
OTHER_DEPLOYMENT = "other_deployment"
PHASE_NOT_OPEN = "phase_not_open"
APPROVAL = "approval"
WINDOW_CLOSED = "window_closed"
RATE_LIMIT = "rate_limit"
IN_FLIGHT_LIMIT = "in_flight_limit"
BANDWIDTH = "bandwidth"
OFFLINE = "offline"

# Which reason an obstacle of `domain.compatibility` belongs to.
OBSTACLES = {
    "not_compatible": NOT_COMPATIBLE,
    "requires_not_met": REQUIRES,
    "conflicts_with_installed": CONFLICTS,
    "stepping_stone_skipped": STEPPING_STONE,
}
# Why a start leaves devices of its target out, as a count says it.
LEFT_OUT_WORDS = {
    EXCLUDED: "left out by the plan",
    NOT_COMPATIBLE: "not compatible with the release",
    ALREADY_INSTALLED: "have it installed already",
    LATER_INSTALLED: "have a later version, and the plan does not allow going back",
    REQUIRES: "lack something that the release requires",
    CONFLICTS: "have something installed that the release does not go with",
    STEPPING_STONE: "have to pass through an earlier version first",
    PINNED: "pinned to what they have",
    QUARANTINED: "in quarantine after repeated failures",
    TARGET_LIMIT: "come after as many devices as the plan takes",
}
BUSY_WORDS = "are in another rollout too; the one that goes first is done first"
# What has to hold for a start to choose a device; the rest says when it gets its deployment.
CHOICE = frozenset(
    {
        *(ORGANIZATION, LIFECYCLE, TARGET, EXCLUDED, NOT_COMPATIBLE, ALREADY_INSTALLED),
        *(LATER_INSTALLED, REQUIRES, CONFLICTS, STEPPING_STONE, PINNED, QUARANTINED),
        *(TARGET_LIMIT, DEPLOYMENT),
    }
)
NEVER = datetime.max.replace(tzinfo=UTC)
SETTLED = "{} settled when the rollout began."
SETTLED_SUBJECTS = {
    NOT_COMPATIBLE: "That the release is made for it was",
    ALREADY_INSTALLED: "That it needs the release was",
    LATER_INSTALLED: "That it has no later version was",
    REQUIRES: "What the release requires was",
    CONFLICTS: "What the release does not go with was",
    STEPPING_STONE: "What has to be passed through first was",
}
OVER = (
    RolloutState.HALTED,
    RolloutState.ROLLING_BACK,
    RolloutState.ROLLED_BACK,
    RolloutState.COMPLETED,
    RolloutState.CANCELLED,
)
LIFECYCLE_WORDS = {
    "active": "The device is active.",
    "pending": "The device waits for somebody to let it in.",
    "quarantined": "Somebody put the device in quarantine: it gets no work until it is released.",
    "decommissioned": "The device was taken out of the fleet.",
}
ROLLOUT_WORDS = {
    RolloutState.DRAFT: "The rollout is a draft: nobody has started it.",
    RolloutState.PENDING_APPROVAL: "The rollout waits for approval of its plan.",
    RolloutState.SCHEDULED: "The rollout is ready, and nobody has started it.",
    RolloutState.PAUSED: "The rollout is paused: no further device starts.",
    RolloutState.HALTED: "The rollout was halted: no further device starts.",
    RolloutState.ROLLING_BACK: "The rollout is being rolled back.",
    RolloutState.ROLLED_BACK: "The rollout was rolled back.",
    RolloutState.COMPLETED: "The rollout is complete.",
    RolloutState.CANCELLED: "The rollout was cancelled.",
}
STATE_WORDS = {
    DeploymentState.OFFERED: "It was handed its deployment",
    DeploymentState.DOWNLOADING: "It is downloading",
    DeploymentState.DOWNLOADED: "It has downloaded everything",
    DeploymentState.INSTALLING: "It is installing",
    DeploymentState.REBOOTING: "It is restarting",
    DeploymentState.VERIFYING: "It is verifying what it installed",
    DeploymentState.SUCCEEDED: "It succeeded",
    DeploymentState.FAILED: "It failed",
    DeploymentState.ROLLED_BACK: "It went back to what it had",
    DeploymentState.TIMED_OUT: "It ran out of time",
    DeploymentState.CANCELLED: "Its deployment was cancelled",
    DeploymentState.SKIPPED: "It was skipped",
    DeploymentState.SUPERSEDED: "A later rollout took its place",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One condition, whether it holds, one sentence about it, and what that rests on."""

    code: str
    holds: bool
    words: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """The rollout, as far as it decides."""

    id: UUID
    name: str
    release: str
    state: RolloutState
    priority: int = 0
    started_at: datetime | None = None
    start_at: datetime | None = None
    open_phase: int = -1
    phase_count: int = 1
    requires_approval: bool = False
    is_approved: bool = False
    # The open phase is passed, and a person has to let the next one open.
    awaits_approval: bool = False
    # Whether devices that match later join it.
    is_dynamic: bool = False
    is_rollback: bool = False

    @property
    def is_over(self) -> bool:
        """Whether no device can start in it any more."""
        return self.state in OVER


@dataclass(frozen=True, slots=True)
class HoldFacts:
    """A pin or a quarantine that holds now."""

    kind: HoldKind
    reason: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """The device, as far as it decides; `connectivity_words` say why it can be reached or not."""

    lifecycle: str
    connectivity: str
    connectivity_words: str
    lifecycle_reason: str = ""
    holds: tuple[HoldFacts, ...] = ()

    def held(self, kind: HoldKind) -> HoldFacts | None:
        """The hold of this kind, if there is one."""
        return next((hold for hold in self.holds if hold.kind is kind), None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One clause of a target, and what the device has there."""

    clause: str
    actual: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Part:
    """What a plan that takes only some of its target says of one device.

    `places` is how many it takes, `place` where the device comes in the rollout's order, from 1.
    """

    places: int
    place: int

    @property
    def is_in(self) -> bool:
        """Whether it is among those that the plan takes."""
        return self.place <= self.places


@dataclass(frozen=True, slots=True)
class ChoiceFacts:
    """Whether a start now would choose the device: the target, and what its release needs.

    `why_not` is the sentence of a target that cannot be asked any more. `part` is None where the
    plan takes all that it means.
    """

    is_meant: bool
    target: tuple[Comparison, ...] = ()
    is_excluded: bool = False
    exclusion: tuple[Comparison, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    installed: Mapping[str, str] = field(default_factory=dict)
    has_it: bool = False
    has_later: bool = False
    why_not: str = ""
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What decides whether a deployment may be handed out now, apart from the device's others.

    `closed_until` is None where the window is open; a window that never opens is `is_closed` too.
    """

    rollout: RolloutFacts
    phase_index: int
    not_before: datetime | None = None
    is_closed: bool = False
    opens_at: datetime | None = None
    room: Room = Room()

    def is_ready(self, now: datetime) -> bool:
        """What claims ask of a waiting deployment."""
        return (
            self.rollout.state is RolloutState.RUNNING
            and self.phase_index <= self.rollout.open_phase
            and not self.waits(now)
            and not self.is_closed
            and (self.room.devices is None or self.room.devices > 0)
        )

    def waits(self, now: datetime) -> bool:
        """Whether the next attempt is not due yet."""
        return self.not_before is not None and self.not_before > now

    @property
    def order(self) -> tuple[int, datetime, UUID]:
        """Of several that are ready the one with the lowest order goes first."""
        started = self.rollout.started_at or NEVER
        return (-self.rollout.priority, started, self.rollout.id)


@dataclass(frozen=True, slots=True)
class DeploymentFacts:
    """A deployment of the device: its last attempt in a rollout."""

    id: UUID
    state: DeploymentState
    turn: Turn
    attempt: int = 1
    position: int = 0
    since: datetime | None = None
    reason_code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that `explain` looks at. `others` are under way in other rollouts."""

    now: datetime
    rollout: RolloutFacts
    device: DeviceFacts
    choice: ChoiceFacts
    turn: Turn
    own: DeploymentFacts | None = None
    others: tuple[DeploymentFacts, ...] = ()


def explain(facts: Facts) -> tuple[Reason, ...]:
    """Every condition in its order. The device gets the deployment now where all of them hold."""
    return tuple(rule(facts) for rule in _RULES)


def is_eligible(reasons: Iterable[Reason]) -> bool:
    """Whether all of them hold."""
    return all(reason.holds for reason in reasons)


def is_chosen(reasons: Iterable[Reason]) -> bool:
    """Whether a start would choose the device, or has chosen it."""
    return all(reason.holds for reason in reasons if reason.code in CHOICE)


def _organization(facts: Facts) -> Reason:
    return Reason(ORGANIZATION, True, "Device and rollout belong to the same organization.")


def _lifecycle(facts: Facts) -> Reason:
    device = facts.device
    words = LIFECYCLE_WORDS.get(device.lifecycle, f"The device is {device.lifecycle}.")
    if device.lifecycle_reason and device.lifecycle != "active":
        words = f"{words} The reason: {device.lifecycle_reason}"
    evidence = {"lifecycle": device.lifecycle}
    return Reason(LIFECYCLE, device.lifecycle == "active", words, evidence)


def _target(facts: Facts) -> Reason:
    if facts.own is not None:
        place, phase = facts.own.position + 1, facts.own.turn.phase_index + 1
        words = f"It was chosen when the rollout began: place {place}, phase {phase}."
        return Reason(TARGET, True, words, {"place": place, "phase": phase})
    if facts.rollout.is_rollback:
        words = "A roll back goes to the devices that the rollout before it reached."
        return Reason(TARGET, True, words)
    choice = facts.choice
    if choice.why_not:
        return Reason(TARGET, False, choice.why_not)
    evidence = {"clauses": [_compared(each) for each in choice.target]}
    decisive = [each for each in choice.target if each.holds is choice.is_meant]
    said = "; ".join(_said(each) for each in decisive[:3])
    if choice.is_meant:
        words = f"The target means it: {said}." if said else "The target means every device."
    else:
        words = f"The target does not mean it: {said or 'it is none of those named'}."
    return Reason(TARGET, choice.is_meant, words, evidence)


def _excluded(facts: Facts) -> Reason:
    choice = facts.choice
    if facts.own is not None or not choice.is_excluded:
        return Reason(EXCLUDED, True, "The plan does not leave it out.")
    evidence = {"clauses": [_compared(each) for each in choice.exclusion]}
    said = "; ".join(_said(each) for each in choice.exclusion if each.holds)
    words = f"The plan leaves it out: {said or 'it is among those excluded'}."
    return Reason(EXCLUDED, False, words, evidence)


def _obstructed(code: str, fine: str) -> "Rule":
    """The reasons that obstacles of the release make."""

    def rule(facts: Facts) -> Reason:
        found = [o for o in facts.choice.obstacles if OBSTACLES[o.code] == code]
        if facts.own is not None or not found:
            return Reason(code, True, fine if facts.own is None else _settled(code))
        evidence = [{"component": o.component, "wanted": o.wanted, "found": o.found} for o in found]
        words = " ".join(o.message for o in found)
        return Reason(code, False, words, {"obstacles": evidence})

    return rule


def _already_installed(facts: Facts) -> Reason:
    evidence = {"installed": dict(facts.choice.installed)}
    if facts.own is not None:
        return Reason(ALREADY_INSTALLED, True, _settled(ALREADY_INSTALLED), evidence)
    if facts.choice.has_it and not facts.rollout.is_rollback:
        words = f"It has {facts.rollout.release} installed already."
        return Reason(ALREADY_INSTALLED, False, words, evidence)
    return Reason(ALREADY_INSTALLED, True, "It has another version, or none.", evidence)


def _later_installed(facts: Facts) -> Reason:
    if facts.own is not None:
        return Reason(LATER_INSTALLED, True, _settled(LATER_INSTALLED))
    if not facts.choice.has_later:
        return Reason(LATER_INSTALLED, True, "It has no later version, or may go back.")
    evidence = {"installed": dict(facts.choice.installed)}
    words = "It has a later version installed, and the plan does not allow older ones."
    return Reason(LATER_INSTALLED, False, words, evidence)


def _held(kind: HoldKind, code: str, free: str) -> "Rule":
    def rule(facts: Facts) -> Reason:
        hold = facts.device.held(kind)
        if hold is None:
            return Reason(code, True, free)
        evidence = {"reason": hold.reason, "since": _text(hold.since), "until": _text(hold.until)}
        until = f" until {_time(hold.until)}" if hold.until else ""
        words = f"The device is {kind.value}{until}: {hold.reason}"
        if kind is HoldKind.QUARANTINED and facts.rollout.is_rollback:
            return Reason(code, True, f"{words} A roll back reaches it all the same.", evidence)
        return Reason(code, False, words, evidence)

    return rule


def _target_limit(facts: Facts) -> Reason:
    part = facts.choice.part
    if facts.own is not None or part is None:
        return Reason(TARGET_LIMIT, True, "No percentage or maximum of the target leaves it out.")
    evidence = {"places": part.places, "place": part.place}
    words = f"It is number {part.place} in the rollout's order; the plan takes {part.places}."
    return Reason(TARGET_LIMIT, part.is_in, words, evidence)


def _deployment(facts: Facts) -> Reason:
    if facts.own is not None:
        return _happened(facts, facts.own)
    rollout = facts.rollout
    if rollout.started_at is None:
        return Reason(DEPLOYMENT, True, "It gets its place when the rollout begins.")
    began = _time(rollout.started_at)
    if rollout.is_dynamic and not rollout.is_over:
        words = "It is not in the rollout yet; devices that match join it while it runs."
    elif rollout.is_rollback:
        words = (
            f"The rollout that is taken back did not reach it, or it had nothing before ({began})."
        )
    else:
        words = f"It was not among the devices that the rollout began with ({began})."
    return Reason(DEPLOYMENT, False, words, {"started_at": _text(rollout.started_at)})


def _happened(facts: Facts, own: DeploymentFacts) -> Reason:
    """What became of the device's own deployment; it holds while it waits for its turn."""
    evidence: dict[str, Any] = {
        "deployment_id": str(own.id),
        "state": own.state.value,
        "attempt": own.attempt,
        "reason_code": own.reason_code,
    }
    again = f" (attempt {own.attempt})" if own.attempt > 1 else ""
    if own.state is not DeploymentState.WAITING:
        said = f": {own.message or own.reason_code}" if own.message or own.reason_code else ""
        at = "since" if own.state in ACTIVE_DEPLOYMENT_STATES else "at"
        words = f"{STATE_WORDS[own.state]} {at} {_time(own.since)}{again}{said}"
        return Reason(DEPLOYMENT, False, _sentence(words), evidence)
    due = own.turn.not_before
    if own.turn.waits(facts.now):
        words = f"Attempt {own.attempt} begins at {_time(due)}: the one before it failed."
        return Reason(DEPLOYMENT, False, words, {**evidence, "not_before": _text(due)})
    return Reason(DEPLOYMENT, True, f"Its deployment waits{again}.", evidence)


def _other_deployment(facts: Facts) -> Reason:
    for other in facts.others:
        if other.state in ACTIVE_DEPLOYMENT_STATES:
            name = _name_of(other.turn.rollout)
            words = f"It is at work on {name} ({other.state.value}); one at a time."
            return Reason(OTHER_DEPLOYMENT, False, words, _named(other))
    ready = [o for o in facts.others if o.turn.is_ready(facts.now)]
    first = min(ready, key=lambda other: other.turn.order, default=None)
    if first is None or first.turn.order > facts.turn.order:
        return Reason(OTHER_DEPLOYMENT, True, "No other rollout goes first.")
    rollout = first.turn.rollout
    why = "is older" if rollout.priority == facts.rollout.priority else "has a higher priority"
    name = _name_of(rollout)
    words = f"{name[:1].upper()}{name[1:]} goes first: it {why}."
    return Reason(OTHER_DEPLOYMENT, False, words, _named(first))


def _phase_not_open(facts: Facts) -> Reason:
    rollout, phase = facts.rollout, facts.turn.phase_index
    evidence: dict[str, Any] = {
        "state": rollout.state.value,
        "open_phase": rollout.open_phase + 1,
        "phase": phase + 1 if facts.own else None,
    }
    if rollout.state is not RolloutState.RUNNING:
        words = ROLLOUT_WORDS[rollout.state]
        if rollout.state is RolloutState.SCHEDULED and rollout.start_at:
            words = f"The rollout begins at {_time(rollout.start_at)}."
            evidence["start_at"] = _text(rollout.start_at)
        return Reason(PHASE_NOT_OPEN, False, words, evidence)
    number = rollout.open_phase + 1
    if facts.own is not None and phase > rollout.open_phase:
        words = f"Phase {phase + 1} is not open yet; phase {number} of {rollout.phase_count} is."
        return Reason(PHASE_NOT_OPEN, False, words, evidence)
    return Reason(PHASE_NOT_OPEN, True, f"Phase {number} of the rollout is open.", evidence)


def _approval(facts: Facts) -> Reason:
    rollout = facts.rollout
    if rollout.requires_approval and not rollout.is_approved and not rollout.is_over:
        words = "Another person has to approve the plan first."
        return Reason(APPROVAL, False, words)
    if rollout.awaits_approval and facts.own and facts.turn.phase_index > rollout.open_phase:
        number = rollout.open_phase + 2
        words = f"A person has to let phase {number} open."
        return Reason(APPROVAL, False, words, {"phase": number})
    return Reason(APPROVAL, True, "Nobody's approval is missing.")


def _window_closed(facts: Facts) -> Reason:
    turn = facts.turn
    if not turn.is_closed:
        return Reason(WINDOW_CLOSED, True, "No maintenance window keeps it waiting.")
    evidence = {"opens_at": _text(turn.opens_at)}
    if turn.opens_at is None:
        return Reason(WINDOW_CLOSED, False, "No maintenance window opens again.", evidence)
    words = f"Its maintenance window opens at {_time(turn.opens_at)}."
    return Reason(WINDOW_CLOSED, False, words, evidence)


def _rate_limit(facts: Facts) -> Reason:
    rate = facts.turn.room.rate
    if rate is None or rate > 0:
        return Reason(RATE_LIMIT, True, "The rate lets another device start.", {"room": rate})
    words = "As many devices as the rate allows have started in this minute."
    return Reason(RATE_LIMIT, False, words, {"room": rate, "minute": facts.turn.room.minute})


def _in_flight_limit(facts: Facts) -> Reason:
    room, site = facts.turn.room.in_flight, facts.turn.room.site
    if site is not None and not site.shares and site.devices <= 0:
        words = f"As many devices of {_site(site)} as the plan allows there are at work."
        return Reason(IN_FLIGHT_LIMIT, False, words, {"site": site.name, "room": site.devices})
    if room is None or room > 0:
        words = "The number of devices at work lets another one start."
        return Reason(IN_FLIGHT_LIMIT, True, words, {"room": room})
    words = "As many devices as the phase allows are at work."
    return Reason(IN_FLIGHT_LIMIT, False, words, {"room": room})


def _bandwidth(facts: Facts) -> Reason:
    site = facts.turn.room.site
    if site is None or not site.shares:
        return Reason(BANDWIDTH, True, "No other device shares its bandwidth by the plan.")
    evidence = {"site": site.name, "room": site.devices}
    if site.devices > 0:
        return Reason(BANDWIDTH, True, f"The bandwidth of {_site(site)} has room for it.", evidence)
    words = f"The bandwidth of {_site(site)} is shared out among devices at work."
    return Reason(BANDWIDTH, False, words, evidence)


def _site(site: SiteRoom) -> str:
    return f"site “{site.name}”" if site.name else "the devices without a site"


def _offline(facts: Facts) -> Reason:
    device = facts.device
    evidence = {"connectivity": device.connectivity}
    is_reachable = device.connectivity in ("online", "degraded")
    return Reason(OFFLINE, is_reachable, _sentence(device.connectivity_words), evidence)


def _settled(code: str) -> str:
    return SETTLED.format(SETTLED_SUBJECTS[code])


def _compared(comparison: Comparison) -> dict[str, Any]:
    return {
        "clause": comparison.clause,
        "actual": comparison.actual,
        "holds": comparison.holds,
    }


def _said(comparison: Comparison) -> str:
    return f"{comparison.clause} – {comparison.actual or 'none'}"


def _name_of(rollout: RolloutFacts) -> str:
    return f"“{rollout.name}”" if rollout.name else "another rollout, out of your sight"


def _named(other: DeploymentFacts) -> dict[str, Any]:
    rollout = other.turn.rollout
    if not rollout.name:
        return {"state": other.state.value}
    return {
        "rollout_id": str(rollout.id),
        "rollout": rollout.name,
        "priority": rollout.priority,
        "state": other.state.value,
    }


def _sentence(words: str) -> str:
    return words if words.endswith(".") else f"{words}."


def _time(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at else "an unknown time"


def _text(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None


Rule = Callable[[Facts], Reason]
_RULES: tuple[Rule, ...] = (
    _organization,
    _lifecycle,
    _target,
    _excluded,
    _obstructed(NOT_COMPATIBLE, "The release is made for devices like it."),
    _already_installed,
    _later_installed,
    _obstructed(REQUIRES, "What the release requires is installed."),
    _obstructed(CONFLICTS, "Nothing installed conflicts with the release."),
    _obstructed(STEPPING_STONE, "No version has to be passed through first."),
    _held(HoldKind.PINNED, PINNED, "Nobody has pinned the device."),
    _held(HoldKind.QUARANTINED, QUARANTINED, "The device has not failed again and again."),
    _target_limit,
    _deployment,
    _other_deployment,
    _phase_not_open,
    _approval,
    _window_closed,
    _rate_limit,
    _in_flight_limit,
    _bandwidth,
    _offline,
)
