"""The devices app's Django configuration."""

from importlib import import_module

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from apps.core.authz import grant_source


class DevicesConfig(AppConfig):
    """Devices, their live state and their groups."""

    name = "apps.devices"

    def ready(self) -> None:
        """Registers the sweep for deadlines, and object grants as a source of rights."""
        import_module("apps.devices.tasks")
        grant_source(import_module("apps.devices.access").object_grants_of)
        quotas = import_module("apps.organizations.services.quotas")
        counting = import_module("apps.devices.selectors.counting")
        quotas.register_meter("devices", counting.count_for_quota)
        quotas.register_meter("online", counting.count_connected)
        departures = import_module("apps.organizations.services.departures")
        departures.on_departure(import_module("apps.devices.services.grants").drop_all_grants)
        post_migrate.connect(_store_permissions, sender=self)


def _store_permissions(**_: object) -> None:
    """Once the tables are up to date: the rows that grants point at."""
    import_module("apps.devices.services.permission_rows").store_permission_rows()
