"""Prints docs/reference/organization-settings.md from the declared keys."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.organizations.domain.settings import (
    CHANGE_QUOTAS,
    CHANGE_SECURITY,
    CHANGE_SETTINGS,
    KEYS,
    Kind,
    SettingKey,
)

WHO = {
    CHANGE_SETTINGS: "administrators",
    CHANGE_SECURITY: "owners",
    CHANGE_QUOTAS: "superusers of the installation",
}
HEAD = """# Settings of an organization

Made by `manage.py organization_settings_reference`. Read and set with
`GET` and `PATCH /api/v1/organizations/{id}/settings`, where `security.idle_minutes` is
`{"security": {"idle_minutes": 30}}`. What is not given stays; `"reset": ["quotas.devices"]` brings
defaults back, and is the way to empty a list.

| key | holds | default | what it does | changed by |
| --- | --- | --- | --- | --- |
"""


class Command(BaseCommand):
    """Prints the table."""

    help = "Prints docs/reference/organization-settings.md."

    def handle(self, *args: Any, **options: Any) -> None:
        """One line per key."""
        self.stdout.write(reference(), ending="")


def reference() -> str:
    """The whole page."""
    return HEAD + "".join(f"{_line(key)}\n" for key in KEYS.values())


def _line(key: SettingKey) -> str:
    cells = [f"`{key.name}`", _kind(key), _default(key), key.description, WHO[key.permission]]
    return f"| {' | '.join(cells)} |"


def _default(key: SettingKey) -> str:
    if key.default is None:
        return "no limit"
    if key.default == []:
        return "empty"
    return key.default if key.kind is Kind.ZONE else str(key.default).lower()


def _kind(key: SettingKey) -> str:
    if key.kind in (Kind.NUMBER, Kind.QUOTA):
        or_none = " or null" if key.kind is Kind.QUOTA else ""
        return f"{key.low} to {key.high}{or_none}"
    return key.kind.value
