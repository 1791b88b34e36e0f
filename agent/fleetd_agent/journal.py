"""The device's memory: one document that is durable before each step is taken.

State, finished deployments and reports that the platform has not acknowledged are one document, so
one atomic write changes them together: a report can never be lost between two files.
"""

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

from fleetd_agent.files import is_disk_full, write_atomic
from fleetd_agent.messages import TERMINAL_STEPS, Offer, Outcome, Report, known
from fleetd_agent.plan import STAGE, VERIFY, actions_of

logger = logging.getLogger(__name__)

FINISHED_KEPT = 64
FINISHED_LOG_CHARACTERS = 500
OUTBOX_LIMIT = 1000
RESERVE_BYTES = 128 * 1024
FORMAT = 2

DOWNLOAD, CARRY_OUT, ROLL_BACK = "download", "carry_out", "roll_back"


@dataclass
class Active:
    """The deployment under way and exactly how far it is.

    `position` counts the actions (see `plan`) that are done, `is_begun` says that the next one was
    entered: after a crash nobody knows whether it finished. `records` hold what each component
    needs to be undone, written before it is touched; `undo` what is still to be rolled back.
    """

    offer: Offer
    phase: str = DOWNLOAD
    position: int = 0
    is_begun: bool = False
    # How often the next action asked to be tried later.
    deferrals: int = 0
    boot_id: str = ""
    records: list[dict[str, Any] | None] = field(default_factory=list)
    sequence: int = 0
    last: Report | None = None
    outcome: Outcome | None = None
    is_touched: bool = False
    undo: list[int] = field(default_factory=list)
    unrestored: list[str] = field(default_factory=list)
    # Nobody wants to hear of it any more: it is only brought to an end.
    is_disowned: bool = False
    # Its signatures have been checked.
    is_trusted: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The reverse of `to_json`."""
        parsed = {
            "offer": Offer.from_json(data["offer"]),
            "last": Report.from_json(data["last"]) if data["last"] else None,
            "outcome": Outcome(**known(Outcome, data["outcome"])) if data["outcome"] else None,
        }
        return cls(**known(cls, {**data, **parsed}))


@dataclass
class State:
    """All that a device remembers about its deployments."""

    active: Active | None = None
    finished: dict[str, Report] = field(default_factory=dict)
    installed: dict[str, str] = field(default_factory=dict)
    outbox: list[Report] = field(default_factory=list)
    leftovers: list[dict[str, Any]] = field(default_factory=list)
    # The device identity that all this belongs to.
    owner: str = ""
    # The number and the time of the last instruction that was believed: no older one is.
    instruction_counter: int = 0
    instruction_issued: str = ""

    def put(self, report: Report) -> None:
        """Spools a report; one that only repeats an unfinished step replaces its predecessor."""
        last = self.outbox[-1] if self.outbox else None
        if last and last.deployment_id == report.deployment_id:
            if last.sequence >= report.sequence:
                return
            if last.step == report.step and last.step not in TERMINAL_STEPS:
                self.outbox.pop()
        self.outbox.append(report)
        if len(self.outbox) > OUTBOX_LIMIT:
            passing = (r for r in self.outbox if r.step not in TERMINAL_STEPS)
            self.outbox.remove(next(passing, self.outbox[0]))

    def acknowledge(self, deployment_id: str, sequence: int) -> bool:
        """Forgets reports that the platform has stored; True when there were any."""
        kept = [r for r in self.outbox if r.deployment_id != deployment_id or r.sequence > sequence]
        changed = len(kept) != len(self.outbox)
        self.outbox = kept
        return changed

    def finish(self, report: Report) -> None:
        """Remembers how a deployment ended, so that a repeated offer gets the same answer."""
        kept = replace(report, log_tail=report.log_tail[-FINISHED_LOG_CHARACTERS:])
        self.finished[report.deployment_id] = kept
        while len(self.finished) > FINISHED_KEPT:
            del self.finished[next(iter(self.finished))]

    def to_json(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The reverse of `to_json`; also for what version 0.1 of the agent wrote."""
        if data.get("format") == 1 and data["active"]:
            data = {**data, "active": _from_first_format(data["active"])}
        return cls(
            active=Active.from_json(data["active"]) if data["active"] else None,
            finished={key: Report.from_json(item) for key, item in data["finished"].items()},
            installed=dict(data["installed"]),
            outbox=[Report.from_json(item) for item in data["outbox"]],
            leftovers=list(data["leftovers"]),
            owner=data.get("owner", ""),
            instruction_counter=data.get("instruction_counter", 0),
            instruction_issued=data.get("instruction_issued", ""),
        )


class Journal(Protocol):
    """Where the state lives. `save` returns only when a power cut cannot take it back."""

    def load(self) -> State:
        """The state as it was saved last; an empty one on a new device."""

    def save(self, state: State) -> None:
        """Makes `state` durable."""


class FileJournal:
    """The journal as one JSON file, replaced atomically and fsynced with its folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal.json"
        # Room that is given up when the disk is full, so that even then the end can be recorded.
        self._reserve = folder / "journal.reserve"

    def load(self) -> State:
        """The state as it was saved last."""
        try:
            return State.from_json(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return State()
        except (ValueError, KeyError, TypeError, AttributeError):
            # A device that cannot read its memory must still be reachable and repairable.
            logger.exception("journal is unreadable, set aside", extra={"path": self._path})
            self._path.replace(self._path.with_name("journal.broken.json"))
            return State()

    def save(self, state: State) -> None:
        """Makes `state` durable; on a full disk the reserve is used up."""
        content = json.dumps(state.to_json(), separators=(",", ":")).encode()
        try:
            write_atomic(self._path, content)
        except OSError as error:
            if not is_disk_full(error) or not self._reserve.exists():
                raise
            self._reserve.unlink()
            write_atomic(self._path, content)

    def keep_reserve(self) -> None:
        """Sets room aside for the journal, where there is some."""
        if not self._reserve.exists():
            with suppress(OSError):
                write_atomic(self._reserve, b"\0" * RESERVE_BYTES)


def _from_first_format(data: dict[str, Any]) -> dict[str, Any]:
    """A deployment that the first version of the agent had under way."""
    offer = Offer.from_json(data["offer"])
    actions = actions_of(offer)
    phase, component, stage = data["phase"], data["component"], data["stage"]
    if phase in (DOWNLOAD, ROLL_BACK):
        undo = list(range(component, -1, -1)) if phase == ROLL_BACK else []
        # Where it rolls back, all that has a record was begun.
        position = len(actions) if phase == ROLL_BACK else 0
        return {**data, "undo": undo, "position": position}
    order = ("before", "apply", "after")
    later = [
        place
        for place, action in enumerate(actions)
        if action.stage != STAGE
        and (
            action.stage == VERIFY
            or phase == "install"
            and (action.component, order.index(action.stage)) >= (component, order.index(stage))
        )
    ]
    return {**data, "phase": CARRY_OUT, "position": later[0]}
