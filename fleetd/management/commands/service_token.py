"""Tokens of the platform's own services: `fleetd service-token create | list | revoke`."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.accounts.services.service_tokens import (
    create_service_token,
    list_service_tokens,
    revoke_service_token,
)
from apps.core import clock
from apps.core.errors import FleetdError
from apps.core.ids import parse_uuid


class Command(BaseCommand):
    """They open internal services only (internal.fleetd.v1)."""

    help = "Makes, lists and revokes tokens with which the platform's own services call each other."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to do, and with which token."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="WHAT")
        create = verbs.add_parser("create", help="make one; its secret is printed this once")
        create.add_argument("--name", required=True, help="which service it is for")
        create.add_argument("--expires-days", type=int, default=90, help="90 unless given")
        verbs.add_parser("list", help="show them without their secrets")
        revoke = verbs.add_parser("revoke", help="end one")
        revoke.add_argument("id")

    def handle(self, *args: Any, **options: Any) -> None:
        """Does it."""
        try:
            getattr(self, f"_{options['verb']}")(options)
        except FleetdError as error:
            raise CommandError(str(error)) from error

    def _create(self, options: dict[str, Any]) -> None:
        lifetime = timedelta(days=min(options["expires_days"], 10_000))
        made = create_service_token(name=options["name"], lifetime=lifetime)
        self.stdout.write(f"{made.token.id}  until {made.token.expires_at:%Y-%m-%d %H:%M} UTC")
        self.stdout.write(f"Secret, shown only now: {made.secret}")

    def _list(self, options: dict[str, Any]) -> None:
        now = clock.now()
        for token in list_service_tokens():
            state = "expired" if token.expires_at <= now else "works"
            state = "revoked" if token.revoked_at else state
            until = f"{token.expires_at:%Y-%m-%d}"
            self.stdout.write(
                f"{token.id}  {state:<8} until {until}  {token.prefix}…  {token.name}"
            )

    def _revoke(self, options: dict[str, Any]) -> None:
        token_id = parse_uuid(options["id"])
        if token_id is None:
            raise CommandError("this is no id: see `fleetd service-token list`")
        token = revoke_service_token(token_id)
        self.stdout.write(f"{token.name} is revoked")
