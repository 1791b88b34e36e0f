"""The events app's Django configuration."""

from importlib import import_module

from django.apps import AppConfig


class EventsConfig(AppConfig):
    """The outbox and its relay."""

    name = "apps.events"

    def ready(self) -> None:
        """Registers the relay task."""
        import_module("apps.events.tasks")
