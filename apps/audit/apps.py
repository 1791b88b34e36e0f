"""The audit app's Django configuration."""

from importlib import import_module

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """The audit trail."""

    name = "apps.audit"

    def ready(self) -> None:
        """Registers the task that tells readers."""
        import_module("apps.audit.tasks")
