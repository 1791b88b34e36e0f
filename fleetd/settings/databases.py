"""Turns URLs of PostgreSQL and Valkey into what Django, Channels and Celery expect."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from fleetd.settings.env import SettingError

POSTGRES_SCHEMES = frozenset({"postgres", "postgresql"})
REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})


def postgres_settings(url: str, *, pool_size: int) -> dict[str, Any]:
    """One entry of DATABASES, with a pool of at most `pool_size` connections (0 opens none)."""
    parts = urlsplit(url)
    name = unquote(parts.path.lstrip("/"))
    if parts.scheme not in POSTGRES_SCHEMES or not name:
        raise SettingError("DATABASE_URL is not postgresql://user:password@host/database")
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    host = options.pop("host", None) or parts.hostname or ""
    if pool_size:
        options["pool"] = {"min_size": 1, "max_size": pool_size, "timeout": 10}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
    }


def checked_redis_url(url: str) -> str:
    """The URL for redis-py, or an error that does not repeat its password."""
    if urlsplit(url).scheme not in REDIS_SCHEMES:
        raise SettingError("REDIS_URL must start with redis://, rediss:// or unix://")
    return url


def celery_broker_url(url: str) -> str:
    """The same server in the spelling that Celery wants for Unix sockets."""
    return "redis+socket" + url.removeprefix("unix") if url.startswith("unix://") else url
