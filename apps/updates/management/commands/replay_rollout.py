"""`manage.py replay_rollout ID`: does the log say what the rows say, and what if?"""

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import yaml
from django.core.management.base import BaseCommand, CommandError

from apps.core.actors import Actor, Source, system_actor
from apps.core.errors import NotFound
from apps.core.tenancy import tenant
from apps.organizations.selectors import list_organization_ids
from apps.updates.domain.engine import IllegalTransition
from apps.updates.domain.gates import BadPolicy, GatePolicy
from apps.updates.domain.gates.sentences import told
from apps.updates.domain.whatif import Decision, Gap, Unknown, WhatIf
from apps.updates.selectors.rollouts import check_log, judge_log

MAX_POLICY_BYTES = 1 << 16
T = TypeVar("T")

GAPS = {
    Unknown.NEVER_OPENED: "never opened: how its devices would have done, nobody can know",
    Unknown.UNDECIDED: "undecided when the log ends",
    Unknown.NO_SAMPLES: "the log has no samples for the conditions or the control of this gate",
}


class Command(BaseCommand):
    """Rebuilds a rollout's state from its log and compares it with what is stored.

    With a policy it says what other gates would have decided instead.
    """

    help = "Replays a rollout's log; fails where the stored state is another one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Takes the rollout's id, and where to stop."""
        parser.add_argument("rollout_id", type=UUID)
        parser.add_argument("--until", type=int, metavar="N", help="replay only N events")
        parser.add_argument(
            "--policy",
            type=Path,
            metavar="FILE",
            help="YAML with one gate or a list of one for each phase: what had they decided?",
        )

    def handle(self, *, rollout_id: UUID, until: int | None, policy: Path | None, **_: Any) -> None:
        """Prints the state that the log gives, or what other gates would have decided."""
        if policy is not None:
            self._print_what_if(rollout_id, until, _gates(policy))
            return
        check = _found(lambda actor: check_log(actor, rollout_id, until=until))
        self.stdout.write(f"events    {check.status.sequence}")
        self.stdout.write(f"state     {check.status.state}, phase {check.status.open_phase + 1}")
        for index, phase in enumerate(check.status.phases, start=1):
            reason = told(phase.reason) or "not opened"
            self.stdout.write(f"phase {index:<3} {phase.state}: {reason}")
        self.stdout.write(f"replayed  {check.replayed_hash}")
        if until is None:
            self.stdout.write(f"stored    {check.stored_hash}")
        if check.differences:
            raise CommandError(f"Stored otherwise: {', '.join(check.differences)}.")

    def _print_what_if(
        self, rollout_id: UUID, until: int | None, gates: Sequence[GatePolicy]
    ) -> None:
        found: WhatIf = _found(lambda actor: judge_log(actor, rollout_id, gates, until=until))
        lines = ["As it was", *([_decided(each) for each in found.actual] or ["  undecided"])]
        lines += ["With these gates", *(_decided(each) for each in found.decisions)]
        lines += [_unknown(each) for each in found.gaps]
        if found.halted:
            lines.append(f"  {found.spared} of {found.begun} devices would not have begun")
        self.stdout.write("\n".join(lines))


def _decided(each: Decision) -> str:
    word = "promoted" if each.decision == "promote" else "halted"
    when = f"event {each.event}, {each.time:%Y-%m-%d %H:%M:%S} UTC"
    reason = told(each.reason)
    return f"  phase {each.index + 1} {word} at {when}, after {each.ended} devices: {reason}"


def _unknown(gap: Gap) -> str:
    reason = f": {told(gap.reason)}" if gap.reason else ""
    return f"  phase {gap.index + 1} {GAPS[gap.why]}{reason}"


def _gates(path: Path) -> list[GatePolicy]:
    """The gates of a YAML file. JSON is YAML too."""
    try:
        with path.open("rb") as file:
            read = yaml.safe_load(file.read(MAX_POLICY_BYTES))
    except (OSError, yaml.YAMLError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    each = read if isinstance(read, list) else [read]
    if not each or not all(isinstance(gate, dict) for gate in each):
        raise CommandError(f"{path} holds neither a gate nor a list of gates.")
    try:
        return [GatePolicy.restore(gate) for gate in each]
    except BadPolicy as bad:
        raise CommandError(f"{path}: {bad.field} {bad.message}.") from bad


def _found(read: Callable[[Actor], T]) -> T:
    """Looks in one organization after the other: an operator of the server knows only the id."""
    for organization_id in list_organization_ids():
        with tenant(organization_id):
            try:
                return read(system_actor(organization_id, source=Source.CLI))
            except NotFound:
                continue
            except IllegalTransition as error:
                raise CommandError(f"The log cannot be replayed: {error}.") from error
            except ValueError as error:
                raise CommandError(str(error)) from error
    raise CommandError("There is no such rollout.")
