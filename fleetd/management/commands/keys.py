"""The keys that sign access tokens: `fleetd keys list | rotate [--at-once]`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.accounts.errors import KeyTooFresh
from apps.accounts.selectors import list_signing_keys
from apps.accounts.services.signing_keys import ensure_signing_keys, rotate_signing_keys


class Command(BaseCommand):
    """Keys rotate by themselves every thirty days; this is for doing it now."""

    help = "Lists and rotates the keys that sign access tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to do."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="WHAT")
        verbs.add_parser("list", help="show the keys without their private halves")
        rotate = verbs.add_parser("rotate", help="sign with the next key from now on")
        rotate.add_argument(
            "--at-once",
            action="store_true",
            help="for a key that has leaked: tokens of the old keys end now",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Does it."""
        ensure_signing_keys()
        if options["verb"] == "rotate":
            try:
                active = rotate_signing_keys(at_once=options["at_once"])
            except KeyTooFresh as error:
                raise CommandError(
                    f"{error} Wait ten minutes, or use --at-once if a key has leaked."
                ) from error
            self.stdout.write(f"signing with {active.kid}")
        for key in list_signing_keys():
            since = key.retired_at or key.activated_at or key.created_at
            self.stdout.write(f"{key.kid}  {key.state:<8} since {since:%Y-%m-%d %H:%M} UTC")
