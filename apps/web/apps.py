"""The web app's Django configuration."""

from importlib import import_module

from django.apps import AppConfig


class WebConfig(AppConfig):
    """The shell of the web UI."""

    name = "apps.web"

    def ready(self) -> None:
        """Declares the rights on the doors, so that roles hold them in every process."""
        import_module("apps.web.permissions")
