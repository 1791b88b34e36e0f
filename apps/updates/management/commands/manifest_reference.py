"""`manage.py manifest_reference`: the page of manifests, from the table of their keys."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.updates.domain.manifest.reference import page


class Command(BaseCommand):
    """Prints the page; `scripts/check_manifest.py` compares it with the one that is kept."""

    help = "Prints docs/reference/manifest.md."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints it."""
        self.stdout.write(page(), ending="")
