"""What is asked before something is done to a rollout: the words, and when it can be done."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.core.actors import ActorHere
from apps.core.authz import Permission
from apps.updates.domain.states import RolloutState, can_rollout_become
from apps.updates.permissions import (
    ADVANCE_PHASE,
    APPROVE_ROLLOUT,
    CANCEL_ROLLOUT,
    CREATE_ROLLOUT,
    HALT_ROLLOUT,
    PAUSE_ROLLOUT,
    RESUME_ROLLOUT,
    ROLL_BACK_ROLLOUT,
    START_ROLLOUT,
    SUBMIT_ROLLOUT,
)

if TYPE_CHECKING:
    from apps.updates.models import Rollout

QUIET, PRIMARY, DANGER = "", "primary", "danger"


@dataclass(frozen=True, slots=True)
class Ask:
    """One question: a dialog where there is script, and a page of its own where there is none.

    `lines` say what it comes to; without them that is counted as it is asked. `word` is on the
    button at the top of the page, for what has one there.
    """

    name: str
    permission: Permission
    to: str
    title: str
    action: str
    lines: tuple[str, ...] = ()
    is_offered: bool = True
    word: str = ""
    icon: str = ""
    look: str = QUIET
    keep: str = ""
    wants_reason: bool = False
    fields: tuple[tuple[str, str], ...] = ()


def asks_of(actor: ActorHere, rollout: "Rollout", phases: list[dict[str, Any]]) -> list[Ask]:
    """Everything that this actor may ever be asked on the page of this rollout."""
    found = (
        *_before_the_start(actor, rollout),
        *_under_way(rollout),
        *_again(rollout),
        *(ask for phase in phases for ask in _of_phase(phase)),
    )
    return [ask for ask in found if actor.may_somewhere(ask.permission.name)]


def _before_the_start(actor: ActorHere, rollout: "Rollout") -> Iterable[Ask]:
    is_draft, needs = rollout.state == RolloutState.DRAFT, rollout.requires_approval
    waits = rollout.state == RolloutState.PENDING_APPROVAL
    is_mine = rollout.created_by_id is not None and rollout.created_by_id == actor.actor.user_id
    yield _submit(rollout, is_offered=is_draft and (needs or bool(rollout.start_at)))
    yield _approve(rollout, is_offered=waits and not is_mine)
    yield Ask(
        "reject",
        APPROVE_ROLLOUT,
        "rollout-reject",
        _("Send this plan back?"),
        _("Send it back"),
        (
            _("It becomes a draft again, for its maker to change."),
            _("Nothing reaches a device."),
        ),
        is_offered=waits,
        word=_("Send back…"),
        icon="arrow-back-up",
        wants_reason=True,
    )
    is_ready = (is_draft and not needs) or rollout.state == RolloutState.SCHEDULED
    yield _start(rollout, is_offered=is_ready)


def _submit(rollout: "Rollout", *, is_offered: bool) -> Ask:
    if rollout.requires_approval:
        return Ask(
            "submit",
            SUBMIT_ROLLOUT,
            "rollout-submit",
            _("Ask for approval?"),
            _("Ask for approval"),
            (
                _("The plan goes to somebody who may approve it."),
                _("Nothing reaches a device before that."),
            ),
            is_offered=is_offered,
            word=_("Ask for approval…"),
            icon="hourglass",
            look=PRIMARY,
        )
    return Ask(
        "submit",
        SUBMIT_ROLLOUT,
        "rollout-submit",
        _("Schedule this rollout?"),
        _("Schedule it"),
        (
            _("It starts on its own at the time in the plan."),
            _("Until then it can be changed or cancelled."),
        ),
        is_offered=is_offered,
        word=_("Schedule…"),
        icon="clock",
        look=PRIMARY,
    )


def _approve(rollout: "Rollout", *, is_offered: bool) -> Ask:
    return Ask(
        "approve",
        APPROVE_ROLLOUT,
        "rollout-approve",
        _("Approve this plan?"),
        _("Approve"),
        (
            _("%(release)s may go to the targets in the phases shown.")
            % {"release": rollout.release},
            _("The approval is for exactly this plan; any later edit voids it."),
            _("Nothing starts yet: somebody has to start it."),
            _("The plan's hash is %(hash)s…") % {"hash": rollout.plan_hash[:12]},
        ),
        is_offered=is_offered,
        word=_("Approve…"),
        icon="check",
        look=PRIMARY,
        fields=(("plan_hash", rollout.plan_hash),),
    )


def _start(rollout: "Rollout", *, is_offered: bool) -> Ask:
    return Ask(
        "start",
        START_ROLLOUT,
        "rollout-start",
        _("Start this rollout?"),
        _("Start"),
        (
            _("The devices that match now become its targets, in an order of its own."),
            _("The first phase opens at once; its online devices download within seconds."),
            _("Devices that are offline start when they return."),
        ),
        is_offered=is_offered,
        word=_("Start now…") if rollout.start_at else _("Start…"),
        icon="player-play",
        look=QUIET if rollout.start_at else PRIMARY,
    )


def _under_way(rollout: "Rollout") -> Iterable[Ask]:
    """What stops it for a while or for good; its consequences are counted as it is asked."""
    state = RolloutState(rollout.state)
    is_at_work = state in (RolloutState.RUNNING, RolloutState.PAUSED)
    yield Ask(
        "pause",
        PAUSE_ROLLOUT,
        "rollout-pause",
        _("Pause this rollout?"),
        _("Pause"),
        is_offered=state is RolloutState.RUNNING,
        word=_("Pause…"),
        icon="player-pause",
    )
    yield Ask(
        "resume",
        RESUME_ROLLOUT,
        "rollout-resume",
        _("Resume this rollout?"),
        _("Resume"),
        is_offered=state is RolloutState.PAUSED,
        word=_("Resume…"),
        icon="player-play",
        look=PRIMARY,
    )
    if rollout.planned().is_dynamic:
        yield Ask(
            "close",
            CANCEL_ROLLOUT,
            "rollout-close",
            _("Let no further device join?"),
            _("Close it"),
            is_offered=is_at_work and rollout.status().is_dynamic,
            word=_("Close…"),
            icon="lock",
        )
    yield from _stops(state)


def _stops(state: RolloutState) -> Iterable[Ask]:
    yield Ask(
        "roll-back",
        ROLL_BACK_ROLLOUT,
        "rollout-roll-back",
        _("Roll this back?"),
        _("Roll back"),
        is_offered=can_rollout_become(state, RolloutState.ROLLING_BACK),
        word=_("Roll back…"),
        icon="arrow-back-up",
        look=DANGER,
    )
    yield Ask(
        "halt",
        HALT_ROLLOUT,
        "rollout-halt",
        _("Halt this rollout for good?"),
        _("Halt it"),
        is_offered=state in (RolloutState.RUNNING, RolloutState.PAUSED),
        word=_("Halt…"),
        icon="player-stop",
        look=DANGER,
        wants_reason=True,
    )
    yield Ask(
        "cancel",
        CANCEL_ROLLOUT,
        "rollout-cancel",
        _("Cancel this rollout for good?"),
        _("Cancel the rollout"),
        is_offered=can_rollout_become(state, RolloutState.CANCELLED),
        word=_("Cancel…"),
        icon="ban",
        look=DANGER,
        keep=_("Keep it going"),
    )


def _again(rollout: "Rollout") -> Iterable[Ask]:
    """The same plan once more, in a draft; a roll back is not repeated."""
    if rollout.rolls_back_id is not None:
        return
    yield Ask(
        "retry",
        CREATE_ROLLOUT,
        "rollout-retry",
        _("Plan it again for the devices that failed?"),
        _("Make the draft"),
        (
            _("A new draft with the same plan, for those devices only."),
            _("Nothing reaches a device before it is started."),
        ),
        is_offered=any(phase.failed for phase in rollout.phases.all()),
    )
    yield Ask(
        "clone",
        CREATE_ROLLOUT,
        "rollout-clone",
        _("Plan the same once more?"),
        _("Make the draft"),
        (
            _("A new draft with the same plan, without its times of start and end."),
            _("Nothing reaches a device before it is started."),
        ),
    )


def _of_phase(phase: dict[str, Any]) -> Iterable[Ask]:
    """Passing its gate by hand, and opening it."""
    row = phase["row"]
    number, fields = row.index + 1, (("index", str(row.index)),)
    yield Ask(
        f"pass-{row.index}",
        ADVANCE_PHASE,
        "rollout-advance",
        _("Pass the gate of phase %(n)d by hand?") % {"n": number},
        _("Pass it"),
        (
            _("You decide what the evidence has not decided yet."),
            _("The next phase opens within seconds, unless it needs approval."),
            _("The gate goes on watching: too many failures still halt the rollout."),
        ),
        is_offered=phase["can_pass"],
        wants_reason=True,
        fields=fields,
    )
    if phase["needs_approval"]:
        yield Ask(
            f"open-{row.index}",
            ADVANCE_PHASE,
            "rollout-advance",
            _("Open phase %(n)d?") % {"n": number},
            _("Open it"),
            (_beginning(row.total), _("Devices that are offline start when they return.")),
            is_offered=phase["can_open"],
            wants_reason=True,
            fields=fields,
        )


def _beginning(total: int) -> str:
    begin = _("Its devices that are online start to download within seconds.")
    if not total:
        return begin
    text = ngettext("It has %(n)s device.", "It has %(n)s devices.", total)
    return f"{text % {'n': f'{total:,}'}} {begin}"


def ask_to_retry(reason: str, number: int, name: str = "retry") -> Ask:
    """Planning a rollout again for the devices that failed with one reason."""
    text = ngettext(
        "Plan it again for this %(n)s device?", "Plan it again for these %(n)s devices?", number
    )
    words = reason.replace("_", " ")
    words = words[:1].upper() + words[1:]
    drafted = _(
        "A new draft with the same release, phases and gates, for the devices that failed with"
        " “%(reason)s” and for no other."
    )
    settled = _(
        "Who they are is settled when it starts: a device that failed for this reason later"
        " comes with them."
    )
    return Ask(
        name,
        CREATE_ROLLOUT,
        "rollout-retry",
        text % {"n": f"{number:,}"},
        _("Make the draft"),
        (
            drafted % {"reason": words},
            settled,
            _("Nothing reaches a device before somebody starts it."),
        ),
        fields=(("reason", reason),),
    )
