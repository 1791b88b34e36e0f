"""The organizations app's Django configuration."""

from importlib import import_module

from django.apps import AppConfig


class OrganizationsConfig(AppConfig):
    """Tenants and members."""

    name = "apps.organizations"

    def ready(self) -> None:
        """Registers the tasks, and the quota of API keys, which lie below."""
        observers = import_module("apps.accounts.services.observers")
        sign_ins = import_module("apps.organizations.services.sign_ins")
        observers.observe_sign_ins(sign_ins.record_sign_in)
        observers.observe_changes(sign_ins.record_account_change)
        selectors = import_module("apps.organizations.selectors")
        observers.ask_for_password_length(selectors.password_length_asked_of)
        import_module("apps.organizations.tasks")
        keys = import_module("apps.accounts.services.departures")
        room = import_module("apps.accounts.services.room")
        quotas = import_module("apps.organizations.services.quotas")
        quotas.register_meter("api_keys", keys.count_usable_keys)
        room.ask_for_room(quotas.require_room)
