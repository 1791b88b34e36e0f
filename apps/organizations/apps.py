"""The organizations app's Django configuration."""

from importlib import import_module

from django.apps import AppConfig


class OrganizationsConfig(AppConfig):
    """Tenants and members."""

    name = "apps.organizations"

    def ready(self) -> None:
        """Registers the tasks, and the quota of API keys, which lie below."""
        import_module("apps.organizations.tasks")
        keys = import_module("apps.accounts.services.departures")
        room = import_module("apps.accounts.services.room")
        quotas = import_module("apps.organizations.services.quotas")
        quotas.register_meter("api_keys", keys.count_usable_keys)
        room.ask_for_room(quotas.require_room)
