"""The web app's Django configuration."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    """The shell of the web UI."""

    name = "apps.web"
