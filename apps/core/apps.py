"""Core's Django configuration."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules


class CoreConfig(AppConfig):
    """Installs the tenancy guards once all migrations have run."""

    name = "apps.core"

    def ready(self) -> None:
        """Connects the guards to the end of `migrate`, after the last app's tables exist.

        Reads every app's permissions, so that what a role holds does not depend on what happens
        to have been imported.
        """
        autodiscover_modules("permissions")
        post_migrate.connect(_install_guards, dispatch_uid="fleetd.install_guards")


def _install_guards(sender: AppConfig, plan: object = None, **_: object) -> None:
    """Runs once per `migrate`: Django calls this for each app, the last one has all tables."""
    from django.apps import apps

    from apps.core.guards import install_guards

    if sender == [c for c in apps.get_app_configs() if c.models_module is not None][-1]:
        install_guards()
