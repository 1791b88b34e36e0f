"""`manage.py replay_rollout ID`: does the log say what the rows say?"""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.core.actors import Source, system_actor
from apps.core.errors import NotFound
from apps.core.tenancy import tenant
from apps.organizations.selectors import list_organization_ids
from apps.updates.domain.engine import IllegalTransition
from apps.updates.selectors.rollouts import LogCheck, check_log


class Command(BaseCommand):
    """Rebuilds a rollout's state from its log and compares it with what is stored."""

    help = "Replays a rollout's log; fails where the stored state is another one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Takes the rollout's id, and where to stop."""
        parser.add_argument("rollout_id", type=UUID)
        parser.add_argument("--until", type=int, metavar="N", help="replay only N events")

    def handle(self, *, rollout_id: UUID, until: int | None, **_: Any) -> None:
        """Prints the state that the log gives."""
        try:
            check = _check(rollout_id, until)
        except IllegalTransition as error:
            raise CommandError(f"The log cannot be replayed: {error}.") from error
        self.stdout.write(f"events    {check.status.sequence}")
        self.stdout.write(f"state     {check.status.state}, phase {check.status.open_phase + 1}")
        for index, phase in enumerate(check.status.phases, start=1):
            self.stdout.write(f"phase {index:<3} {phase.state}: {phase.reason or 'not opened'}")
        self.stdout.write(f"replayed  {check.replayed_hash}")
        if until is None:
            self.stdout.write(f"stored    {check.stored_hash}")
        if check.differences:
            raise CommandError(f"Stored otherwise: {', '.join(check.differences)}.")


def _check(rollout_id: UUID, until: int | None) -> LogCheck:
    """Looks in one organization after the other: an operator of the server knows only the id."""
    for organization_id in list_organization_ids():
        with tenant(organization_id):
            try:
                return check_log(
                    system_actor(organization_id, source=Source.CLI), rollout_id, until=until
                )
            except NotFound:
                continue
    raise CommandError("There is no such rollout.")
