"""The audit app's Django configuration."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """The audit trail."""

    name = "apps.audit"
