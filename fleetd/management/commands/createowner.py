"""Creates an organization and its owner: `fleetd createowner EMAIL --organization NAME`."""

import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.accounts.selectors import has_users
from apps.core.errors import FleetdError
from apps.organizations.services.accounts import issue_reset_link
from apps.organizations.services.setup import create_organization


class Command(BaseCommand):
    """For machines without a browser, and for a second organization."""

    help = "Creates an organization and its owner, who may sign in everywhere."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """E-mail and organization; the password comes from a file or is generated."""
        parser.add_argument("email")
        parser.add_argument("--organization", required=True, help="name of the new organization")
        parser.add_argument("--password-file", type=Path, help="generated and printed if absent")
        parser.add_argument(
            "--print-link",
            action="store_true",
            help="print a one-time link to set the password, instead of a password",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Creates both or neither."""
        generated = None
        if options["password_file"]:
            password = options["password_file"].read_text().strip()
        else:
            password = generated = secrets.token_urlsafe(18)
        try:
            made = create_organization(
                None,
                name=options["organization"],
                email=options["email"],
                password=password,
                is_superuser=not has_users(),  # as the first visit would have made it
            )
        except FleetdError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Organization {made.organization.slug}, owner {made.owner.email}")
        if options["print_link"]:
            self.stdout.write(f"Sets the password, once: {issue_reset_link(None, made.owner.pk)}")
        elif generated:
            self.stdout.write(f"Password, shown only now: {generated}")
