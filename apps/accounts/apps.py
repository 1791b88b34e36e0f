"""The accounts app's Django configuration."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People and keys."""

    name = "apps.accounts"
