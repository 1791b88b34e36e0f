"""The devices app's Django configuration."""

from django.apps import AppConfig


class DevicesConfig(AppConfig):
    """Devices, their live state and their groups."""

    name = "apps.devices"
