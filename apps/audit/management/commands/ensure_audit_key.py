"""Makes the key that signs the audit trail's checkpoints, where it is missing."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit.errors import SigningKeyMissing
from apps.audit.services.signing import ensure_signing_key


class Command(BaseCommand):
    """`manage.py ensure_audit_key`, run before the platform's processes start."""

    help = "Makes the key that signs the audit trail, unless it is there."
    requires_system_checks: list[str] = []

    def handle(self, *_: Any, **__: Any) -> None:
        """Says what was done."""
        try:
            done = ensure_signing_key()
        except (SigningKeyMissing, ValueError) as error:
            raise CommandError(f"the key of the audit trail: {error}") from error
        for sentence in done or ["nothing to do"]:
            self.stdout.write(f"ensure_audit_key: {sentence}")
