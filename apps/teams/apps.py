"""The teams app's Django configuration."""

from django.apps import AppConfig

from apps.core.authz import grant_source


class TeamsConfig(AppConfig):
    """Teams and their members."""

    name = "apps.teams"

    def ready(self) -> None:
        """Registers teams as a source of rights."""
        from apps.teams.selectors import grants_of

        grant_source(grants_of)
