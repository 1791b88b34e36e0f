"""The organizations app's Django configuration."""

from importlib import import_module

from django.apps import AppConfig


class OrganizationsConfig(AppConfig):
    """Tenants and members."""

    name = "apps.organizations"

    def ready(self) -> None:
        """Registers the task that sweeps all organizations."""
        import_module("apps.organizations.tasks")
