"""The agents app's Django configuration."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """The gateway that devices talk to."""

    name = "apps.agents"
