"""The project as a Django application: what every process of the platform loads."""

from django.apps import AppConfig


class FleetdConfig(AppConfig):
    """Connects Celery, so that any process can wake a worker."""

    name = "fleetd"

    def ready(self) -> None:
        """Makes our Celery application the current one."""
        from fleetd import celery  # noqa: F401
