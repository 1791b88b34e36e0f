"""`manage.py filters_reference`: the page of the filter language, from the declared fields."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.core.filters.reference import page
from apps.devices.filters import DEVICE_FIELDS


def whole_page() -> str:
    """Every whitelist that there is."""
    return page([DEVICE_FIELDS])


class Command(BaseCommand):
    """Prints the page; `scripts/check_filters.py` compares it with the one that is kept."""

    help = "Prints docs/reference/filters.md."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints it."""
        self.stdout.write(whole_page(), ending="")
