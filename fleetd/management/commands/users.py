"""People from the console: `fleetd users list|disable|enable|reset-factors|reset-link`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.accounts.models import User
from apps.accounts.selectors import people_with_second_factor
from apps.core.errors import FleetdError
from apps.organizations.selectors import list_memberships_of
from apps.organizations.services.accounts import (
    disable_user,
    enable_user,
    issue_reset_link,
    reset_second_factors,
)

LINK_NOTE = "It works once, and for a day. It is as good as the password: hand it over with care."


class Command(BaseCommand):
    """For administrators of the installation; everything but `list` is in the audit trail."""

    help = "Lists, disables and enables people; helps those who lost password or second factor."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to do, and with whom."""
        kinds = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
        kinds.add_parser("list", help="all accounts")
        for name, text in (
            ("disable", "end everything that a person has open, and let them sign in no more"),
            ("enable", "let a disabled person sign in again"),
            ("reset-factors", "take away the second factors of a person who has lost them"),
            ("reset-link", "print a one-time link that sets a new password"),
        ):
            kinds.add_parser(name, help=text).add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        """Does it."""
        if options["what"] == "list":
            self._list()
            return
        user = User.objects.filter(email=options["email"].lower()).first()
        if user is None:
            raise CommandError(f"there is no account {options['email']}")
        try:
            self.stdout.write(self._act(options["what"], user))
        except FleetdError as error:
            raise CommandError(str(error)) from error

    def _act(self, what: str, user: User) -> str:
        if what == "disable":
            disable_user(None, user.pk)
            return f"{user.email} is disabled; everything of theirs ends within five seconds."
        if what == "enable":
            enable_user(None, user.pk)
            return f"{user.email} may sign in again."
        if what == "reset-factors":
            reset_second_factors(None, user.pk)
            return f"{user.email} has no second factor any more, and is signed out everywhere."
        return f"{issue_reset_link(None, user.pk)}\n{LINK_NOTE}"

    def _list(self) -> None:
        users = list(User.objects.order_by("email"))
        strong = people_with_second_factor([user.pk for user in users])
        for user in users:
            words = [
                "service account" if user.kind == User.Kind.SERVICE else "",
                "" if user.is_active else "disabled",
                "superuser" if user.is_superuser else "",
                "second factor" if user.pk in strong else "",
            ]
            where = ", ".join(
                f"{m.organization.slug} ({m.role})" for m in list_memberships_of(user.pk)
            )
            shown = ", ".join(word for word in words if word) or "-"
            self.stdout.write(f"{user.email}\t{shown}\t{where or '-'}")
