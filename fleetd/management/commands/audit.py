"""`fleetd audit verify | export | checkpoint | prune`: the audit trail, from the server itself."""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.audit.domain.chain import GENESIS, canonical
from apps.audit.domain.offline_verifier import Verifier
from apps.audit.errors import NothingToPrune
from apps.audit.selectors import (
    chain_records,
    checkpoint_hash,
    export_records,
    find_head,
    find_newest_checkpoint,
)
from apps.audit.services.checkpoints import create_checkpoints
from apps.audit.services.pruning import prune_entries
from apps.audit.services.second_place import copy_checkpoints, kept_checkpoints, known_key_ids
from apps.core.actors import Actor, Source, system_actor
from apps.core.errors import FleetdError
from apps.core.tenancy import tenant
from apps.organizations.models import Organization


class Command(BaseCommand):
    """Each works on one organization, or on all of them."""

    help = "Verifies, exports, signs or prunes the audit trail."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One subcommand each."""
        kinds = parser.add_subparsers(dest="what", required=True)
        verify = kinds.add_parser("verify", help="read every entry and checkpoint again")
        verify.add_argument(
            "--since-checkpoint", action="store_true", help="only what the newest does not cover"
        )
        export = kinds.add_parser("export", help="write a file for the offline verifier")
        export.add_argument("--output", type=Path, required=True)
        sign = kinds.add_parser("checkpoint", help="sign what was added, and copy it away")
        prune = kinds.add_parser("prune", help="delete old segments under a checkpoint")
        prune.add_argument("--before", type=date.fromisoformat, required=True, metavar="DATE")
        for kind in (verify, export, sign, prune):
            kind.add_argument(
                "--organization", metavar="SLUG", required=kind is export, help="all unless given"
            )

    def handle(self, *_: Any, what: str, **options: Any) -> None:
        """Runs it for each organization; fails if it failed for one."""
        failed = False
        for organization in _organizations(options["organization"]):
            try:
                is_fine = getattr(self, what)(organization, options)
            except (FleetdError, OSError) as error:
                self.stdout.write(f"{organization.slug}: {error}")
                is_fine = False
            failed = failed or not is_fine
        if failed:
            sys.exit(1)

    def verify(self, organization: Organization, options: dict[str, Any]) -> bool:
        """Whether nothing was found."""
        with tenant(organization.id):
            verifier, place = _verified(organization.id, options["since_checkpoint"])
        for sequence, text in verifier.findings:
            self.stdout.write(f"{organization.slug}: BROKEN at {sequence}: {text}")
        word = "broken" if verifier.findings else "ok"
        signed = max([*verifier.exported, *verifier.kept, 0])
        self.stdout.write(
            f"{organization.slug}: {word}, {verifier.entries} entries up to {verifier.last}, "
            f"{len(verifier.exported)} checkpoints, signed up to {signed}; second place {place}"
        )
        return not verifier.findings

    def export(self, organization: Organization, options: dict[str, Any]) -> bool:
        """Writes the file; an unfinished one never bears its name."""
        output: Path = options["output"]
        partial = output.with_name(output.name + ".part")
        with tenant(organization.id), partial.open("wb") as file:
            count = sum(
                file.write(canonical(record) + b"\n") > 0
                for record in export_records(organization.id, organization.slug)
            )
        partial.replace(output)
        self.stdout.write(f"{organization.slug}: {count - 2} entries and checkpoints in {output}")
        return True

    def checkpoint(self, organization: Organization, _: dict[str, Any]) -> bool:
        """Signs until nothing is left, then copies."""
        actor, made = _actor(organization), []
        while True:
            with tenant(organization.id):
                some = create_checkpoints(actor)
            made += some
            if not some:
                break
        with tenant(organization.id):
            copied = copy_checkpoints(actor)
        at = f", the newest at {made[-1].sequence}" if made else ""
        self.stdout.write(f"{organization.slug}: {len(made)} signed{at}; {copied} copied")
        return True

    def prune(self, organization: Organization, options: dict[str, Any]) -> bool:
        """Deletes whole segments; the application's own role could not."""
        if settings.DB_ROLE != "owner":
            raise CommandError(
                "pruning needs FLEETD_DB_ROLE=owner, as `fleetd audit prune` sets it"
            )
        before = datetime.combine(options["before"], datetime.min.time(), UTC)
        try:
            with tenant(organization.id):
                anchor = prune_entries(_actor(organization), before=before)
        except NothingToPrune as error:
            self.stdout.write(f"{organization.slug}: nothing pruned. {error}")
            return True
        self.stdout.write(f"{organization.slug}: pruned up to entry {anchor.sequence}")
        return True


def _organizations(slug: str | None) -> Iterator[Organization]:
    rows = Organization.objects.order_by("slug")
    found = rows.filter(slug=slug) if slug else rows
    if slug and not found.exists():
        raise CommandError(f"there is no organization {slug}")
    return found.iterator()


def _actor(organization: Organization) -> Actor:
    return system_actor(organization.id, source=Source.CLI)


def _verified(organization_id: UUID, since_checkpoint: bool) -> tuple[Verifier, str]:
    """The verifier after reading the chain, and what came of the second place, in words."""
    place, kept = "agrees", []
    try:
        kept = kept_checkpoints(organization_id)
    except OSError:
        place = "is away: not compared"
    newest = find_newest_checkpoint(organization_id) if since_checkpoint else None
    after = newest.sequence if newest else 0
    start = (after, checkpoint_hash(organization_id, after) or GENESIS.hex()) if newest else None
    kept = [c for c in kept if c["sequence"] > after]
    verifier = Verifier(str(organization_id), kept, known_key_ids(), start)
    head = find_head(organization_id)
    for record in chain_records(organization_id, after=after, until=head[0]):
        verifier.add(record)
    if (verifier.last, verifier.last_hash) != head:
        text = f"the trail ends at {verifier.last}, but its head is at {head[0]}"
        verifier.find(verifier.last + 1, text)
    verifier.finish()
    return verifier, place
