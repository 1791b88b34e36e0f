"""The settings of an organization: every key with its type, bounds and default.

What an organization has stored is read through `value` only, so that a key which is not stored, or
was stored by another version, has a sound value. Zero and empty switch a demand off; a quota of
None is no limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from typing import Any, Protocol
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

CHANGE_SETTINGS = "organizations.update_organization_settings"
CHANGE_SECURITY = "organizations.update_security_policy"
CHANGE_QUOTAS = "organizations.update_quotas"

MAX_ITEMS = 50
MAX_TEXT = 200
DEFAULT_PORTS = {"http": 80, "https": 443}


class Kind(StrEnum):
    """What a setting holds."""

    SWITCH = "true or false"
    NUMBER = "a whole number"
    QUOTA = "a whole number, or null for no limit"
    NETWORKS = "a list of networks such as 192.0.2.0/24"
    ORIGINS = "a list of origins such as https://app.example.com"
    ZONE = "a time zone such as Europe/Oslo"


class BadSetting(ValueError):
    """A value that a setting cannot have; the text says why."""


class HasSettings(Protocol):
    """What holds stored settings: an organization."""

    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SettingKey:
    """One setting. `permission` is what changing it needs; `low` and `high` bound a number."""

    name: str
    kind: Kind
    default: Any
    description: str
    permission: str = CHANGE_SETTINGS
    low: int = 0
    high: int = 0


_ALL = (
    SettingKey(
        "security.require_mfa",
        Kind.SWITCH,
        False,
        "Everybody needs a second factor: an authenticator app or a passkey",
        CHANGE_SECURITY,
    ),
    SettingKey(
        "security.session_hours",
        Kind.NUMBER,
        0,
        "How many hours after a sign-in one has to sign in again; 0 leaves it to the platform",
        CHANGE_SECURITY,
        high=24 * 90,
    ),
    SettingKey(
        "security.idle_minutes",
        Kind.NUMBER,
        0,
        "After how many minutes of rest one has to sign in again; 0 for never",
        CHANGE_SECURITY,
        high=60 * 24 * 7,
    ),
    SettingKey(
        "security.password_min_length",
        Kind.NUMBER,
        12,
        "How many characters a new password has at least",
        CHANGE_SECURITY,
        low=12,
        high=64,
    ),
    SettingKey(
        "security.allowed_networks",
        Kind.NETWORKS,
        [],
        "From where people and their keys may come; empty for everywhere",
        CHANGE_SECURITY,
    ),
    SettingKey(
        "cors.allowed_origins",
        Kind.ORIGINS,
        [],
        "Web applications of other origins that may read the API in a browser",
    ),
    SettingKey(
        "updates.allow_unsigned",
        Kind.SWITCH,
        False,
        "Insecure, for first trials: releases that nobody signed may be rolled out",
        CHANGE_SECURITY,
    ),
    SettingKey(
        "updates.quarantine_after_failures",
        Kind.NUMBER,
        3,
        "After how many failed deployments in a row rollouts leave a device alone; 0 for never",
        high=100,
    ),
    SettingKey(
        "updates.time_zone",
        Kind.ZONE,
        "UTC",
        "Whose time maintenance windows mean where a device does not tell its own",
    ),
    SettingKey(
        "updates.keep_releases",
        Kind.NUMBER,
        0,
        "How many of the newest releases of each name keep their files though nothing uses them;"
        " 0 for all",
        high=10_000,
    ),
    SettingKey(
        "updates.artifact_retention_days",
        Kind.NUMBER,
        0,
        "After how many days artifacts that no release names are removed; 0 for never",
        high=3650,
    ),
    SettingKey(
        "quotas.devices",
        Kind.QUOTA,
        None,
        "How many devices there may be; decommissioned ones do not count",
        CHANGE_QUOTAS,
        high=10_000_000,
    ),
    SettingKey(
        "quotas.storage_bytes",
        Kind.QUOTA,
        None,
        "How many bytes all artifacts may have together",
        CHANGE_QUOTAS,
        high=2**53 - 1,
    ),
    SettingKey(
        "quotas.api_keys",
        Kind.QUOTA,
        None,
        "How many API keys may be usable at a time",
        CHANGE_QUOTAS,
        high=1_000_000,
    ),
    SettingKey(
        "quotas.requests_per_minute",
        Kind.QUOTA,
        None,
        "How many API calls all members and keys may make in a minute",
        CHANGE_QUOTAS,
        low=60,
        high=1_000_000,
    ),
)
KEYS: dict[str, SettingKey] = {key.name: key for key in _ALL}


def value(organization: HasSettings, name: str) -> Any:
    """The value of setting `name`: what is stored, if it is sound, else the default."""
    key = KEYS[name]
    stored = organization.settings.get(name, key.default)
    try:
        return clean(key, stored)
    except BadSetting:
        return key.default


def values(organization: HasSettings) -> dict[str, Any]:
    """All settings by key."""
    return {name: value(organization, name) for name in KEYS}


def clean(key: SettingKey, raw: Any) -> Any:
    """`raw` as the setting stores it. Raises `BadSetting`."""
    if key.kind is Kind.SWITCH:
        if not isinstance(raw, bool):
            raise BadSetting(f"{key.name} is {key.kind.value}.")
        return raw
    if key.kind is Kind.QUOTA and raw is None:
        return None
    if key.kind in (Kind.NUMBER, Kind.QUOTA):
        return _number(key, raw)
    return _zone(key, raw) if key.kind is Kind.ZONE else _items(key, raw)


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What differs: key to [before, after]."""
    return {name: [before[name], after[name]] for name in KEYS if before[name] != after[name]}


def _number(key: SettingKey, raw: Any) -> int:
    is_number = isinstance(raw, int) and not isinstance(raw, bool)
    if not is_number or not key.low <= raw <= key.high:
        raise BadSetting(f"{key.name} is a whole number from {key.low} to {key.high}.")
    return int(raw)


def _zone(key: SettingKey, raw: Any) -> str:
    try:
        return ZoneInfo(raw if isinstance(raw, str) and len(raw) <= MAX_TEXT else "").key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadSetting(f"{key.name} is {key.kind.value}.") from None


def _items(key: SettingKey, raw: Any) -> list[str]:
    """A list of texts, each in its one spelling, without repeats."""
    if not isinstance(raw, list | tuple) or len(raw) > MAX_ITEMS:
        raise BadSetting(f"{key.name} is {key.kind.value}, with at most {MAX_ITEMS} of them.")
    read = _network if key.kind is Kind.NETWORKS else _origin
    found: list[str] = []
    for item in raw:
        if not isinstance(item, str) or len(item) > MAX_TEXT:
            raise BadSetting(f"{key.name} is {key.kind.value}.")
        found.append(read(item.strip()))
    return list(dict.fromkeys(found))


def _network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise BadSetting(f"{text!r} is no network such as 192.0.2.0/24 or 2001:db8::/32.") from None


def _origin(text: str) -> str:
    """Scheme, host and port as browsers send them; wildcards, paths and `null` are no origins."""
    refused = BadSetting(f"{text!r} is no origin such as https://app.example.com.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise refused from None
    host = (parts.hostname or "").lower()
    is_plain = text.lower().removesuffix("/") == f"{parts.scheme}://{parts.netloc}".lower()
    if parts.scheme not in DEFAULT_PORTS or not _is_host(host) or "@" in text or not is_plain:
        raise refused
    shown = f"[{host}]" if ":" in host else host
    suffix = "" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{shown}{suffix}"


def _is_host(host: str) -> bool:
    """Letters, digits, dots, dashes, or an IPv6 address."""
    if ":" in host:
        try:
            return bool(ip_network(host))
        except ValueError:
            return False
    labels = host.split(".")
    return host.isascii() and all(
        label and label.replace("-", "").isalnum() and label.strip("-") == label for label in labels
    )
