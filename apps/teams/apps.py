"""The teams app's Django configuration."""

from importlib import import_module

from django.apps import AppConfig

from apps.core.authz import grant_source


class TeamsConfig(AppConfig):
    """Teams and their members."""

    name = "apps.teams"

    def ready(self) -> None:
        """Registers teams as a source of rights, and what goes with somebody who leaves."""
        grant_source(import_module("apps.teams.selectors").grants_of)
        departures = import_module("apps.organizations.services.departures")
        departures.on_departure(import_module("apps.teams.services.members").leave_all_teams)
        joining = import_module("apps.organizations.joining")
        joining.register_teams(import_module("apps.teams.services.joining").TeamsOfInvitations())
