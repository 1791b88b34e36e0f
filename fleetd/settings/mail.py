"""Where mail goes, read from one URL."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from fleetd.settings.env import SettingError

_BACKENDS = "django.core.mail.backends"
TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Django's backend and its options."""

    backend: str
    options: dict[str, Any] = field(default_factory=dict)


def mail_settings(url: str | None) -> MailSettings | None:
    """The settings for `smtp://`, `smtps://`, `file:///folder` or `console:`; None without a URL.

    `smtp://` on port 587 begins TLS before it says anything, on other ports where `?tls=yes` asks
    for it; `smtps://` is TLS from the start. Raises `SettingError`, which never repeats the URL.
    """
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme == "console":
        return MailSettings(f"{_BACKENDS}.console.EmailBackend")
    if parts.scheme == "file" and parts.path:
        return MailSettings(f"{_BACKENDS}.filebased.EmailBackend", {"EMAIL_FILE_PATH": parts.path})
    if parts.scheme in ("smtp", "smtps") and parts.hostname:
        return _smtp(url)
    raise SettingError("FLEETD_EMAIL_URL must be smtp://, smtps://, file:///folder or console:")


def _smtp(url: str) -> MailSettings:
    parts = urlsplit(url)
    is_tls = parts.scheme == "smtps"
    try:
        port = parts.port or (465 if is_tls else 587)
    except ValueError:
        raise SettingError("FLEETD_EMAIL_URL has a port that is no number") from None
    return MailSettings(
        f"{_BACKENDS}.smtp.EmailBackend",
        {
            "EMAIL_HOST": parts.hostname,
            "EMAIL_PORT": port,
            "EMAIL_HOST_USER": unquote(parts.username or ""),
            "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
            "EMAIL_USE_SSL": is_tls,
            "EMAIL_USE_TLS": not is_tls and (port == 587 or parts.query == "tls=yes"),
        },
    )
