"""The enrollment app's Django configuration."""

from django.apps import AppConfig


class EnrollmentConfig(AppConfig):
    """Tokens, the certificate authority and device certificates."""

    name = "apps.enrollment"
