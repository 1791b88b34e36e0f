"""The accounts app's Django configuration."""

from importlib import import_module

from django.apps import AppConfig

from apps.core.sealing import sealed_column


class AccountsConfig(AppConfig):
    """People and keys."""

    name = "apps.accounts"

    def ready(self) -> None:
        """Registers the upkeep of keys and sign-ins, and what is stored sealed."""
        keys = import_module("apps.accounts.services.signing_keys")
        sealed_column("accounts.SigningKey", "sealed_private_key", purpose=keys.PURPOSE)
        factors = import_module("apps.accounts.services.second_factors")
        for member in ("secret", "seed"):  # of the authenticator app, of the recovery codes
            sealed_column("mfa.Authenticator", "data", purpose=factors.PURPOSE, member=member)
        import_module("apps.accounts.tasks")
