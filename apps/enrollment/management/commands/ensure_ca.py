"""Makes the certificate authority and the gateway's certificate, where they are missing or worn."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.enrollment.services.authority import ensure_authority


class Command(BaseCommand):
    """`manage.py ensure_ca`, run before gateways start."""

    help = "Makes what is missing of the certificate authority and the gateway's certificate."
    requires_system_checks: list[str] = []

    def handle(self, *_: Any, **__: Any) -> None:
        """Says what was done."""
        for sentence in ensure_authority() or ["nothing to do"]:
            self.stdout.write(f"ensure_ca: {sentence}")
