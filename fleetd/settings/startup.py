"""What a serving process must have before it opens its port (security bar S85).

Commands that need no secrets, such as `makemigrations`, do not ask here.
"""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from fleetd.settings.env import SettingError
from fleetd.settings.sealing_keys import keys_weakness, write_keys
from fleetd.settings.secrets import weakness


def missing_secrets(settings: Any) -> list[str]:
    """What is missing or too weak to serve with, in one sentence each. Values are not repeated."""
    found = []
    if reason := weakness(_secret_key(settings)):
        found.append(f"FLEETD_SECRET_KEY {reason}")
    if reason := keys_weakness(write_keys(settings.ENCRYPTION_KEYS.keys())):
        found.append(f"FLEETD_ENCRYPTION_KEYS {reason}")
    if not settings.IS_DATABASE_KNOWN:
        found.append("DATABASE_URL is missing")
    return found


def _secret_key(settings: Any) -> str | None:
    try:
        return str(settings.SECRET_KEY)
    except ImproperlyConfigured:  # how Django says that it is empty
        return None


def refuse_without_secrets(settings: Any) -> None:
    """Raises `SettingError` in production; in development Django complains when it needs them."""
    if settings.IS_PRODUCTION and (found := missing_secrets(settings)):
        raise SettingError(
            "; ".join(found) + "; `fleetd up` generates what is missing into FLEETD_DATA_DIR"
        )
