"""The devices app's Django configuration."""

from importlib import import_module

from django.apps import AppConfig


class DevicesConfig(AppConfig):
    """Devices, their live state and their groups."""

    name = "apps.devices"

    def ready(self) -> None:
        """Registers the sweep for deadlines."""
        import_module("apps.devices.tasks")
