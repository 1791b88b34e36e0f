"""Prints the root's key: `manage.py export_root_key > root-key.pem`, then delete `ca/root.key`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.enrollment.errors import AuthorityMissing
from apps.enrollment.services.authority import root_key_pem


class Command(BaseCommand):
    """For keeping it off this machine: here it lies sealed with a key that may be changed."""

    help = "Prints the private key of the root authority, unsealed, to standard output."

    def handle(self, *args: Any, **options: Any) -> None:
        """Changes nothing."""
        try:
            self.stdout.write(root_key_pem().decode(), ending="")
        except AuthorityMissing as error:
            raise CommandError(str(error)) from error
