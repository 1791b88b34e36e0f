"""The enrollment app's Django configuration."""

from importlib import import_module

from django.apps import AppConfig


class EnrollmentConfig(AppConfig):
    """Tokens, the certificate authority and device certificates."""

    name = "apps.enrollment"

    def ready(self) -> None:
        """Registers what happens when a device is taken out."""
        import_module("apps.enrollment.subscribers")
