"""Prints a fresh link for the first visit: `fleetd setup-url`."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.organizations.services.setup import issue_setup_code


class Command(BaseCommand):
    """The code that the server printed at its start stops working."""

    help = "Prints a link with a new one-time code, while nobody has an account."

    def handle(self, *args: Any, **options: Any) -> None:
        """Issues the code."""
        code = issue_setup_code()
        if code is None:
            raise CommandError("somebody has an account already: sign in, or use createowner")
        self.stdout.write(f"{settings.EXTERNAL_URL}/setup?code={code}")
