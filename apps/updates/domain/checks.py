"""How a device finds out whether a new version works: health checks of a component."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from apps.updates.domain.components import BadComponent, checked_command

MAX_CHECKS = 16
MAX_STATUSES = 16
PROBES = ("http", "tcp", "heartbeat", "command")
# Seconds and counts: (lowest, highest, what 0 stands for; None leaves it to the agent).
NUMBERS: Mapping[str, tuple[int, int, int | None]] = {
    "initial_delay_seconds": (0, 3600, 0),
    "interval_seconds": (1, 3600, 5),
    "timeout_seconds": (1, 3600, 10),
    "success_threshold": (1, 100, 1),
    "failure_threshold": (1, 1000, None),
    "deadline_seconds": (1, 86_400, 300),
}


def checked_checks(checks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Checks with every default filled in. Raises `BadComponent` for what no agent can run.

    A check has a name, exactly one of http, tcp, heartbeat and command, and the times and counts
    of `NUMBERS`.
    """
    if len(checks) > MAX_CHECKS:
        raise BadComponent("checks", "too_many_checks", "A component has at most 16 checks.")
    return [_checked(place, check) for place, check in enumerate(checks)]


def _checked(place: int, check: Mapping[str, Any]) -> dict[str, Any]:
    field = f"checks.{place}"
    if not isinstance(check, Mapping):
        raise BadComponent(field, "invalid_check", "A check is an object.")
    unknown = sorted(set(check) - {"name", *PROBES, *NUMBERS})
    if unknown:
        raise BadComponent(field, "unknown_field", f"A check has no {str(unknown[0])[:40]!r}.")
    kinds = [kind for kind in PROBES if check.get(kind) is not None]
    if len(kinds) != 1:
        message = "A check is exactly one of http, tcp, heartbeat and command."
        raise BadComponent(field, "invalid_check", message)
    kind = kinds[0]
    name = check.get("name") or kind
    if not isinstance(name, str) or len(name) > 100 or not name.isprintable():
        raise BadComponent(f"{field}.name", "invalid_name", "A name has at most 100 letters.")
    probe = _READERS[kind](f"{field}.{kind}", check[kind])
    numbers = {each: _number(field, each, check.get(each)) for each in NUMBERS}
    if numbers["timeout_seconds"] > numbers["deadline_seconds"]:
        message = "One try cannot take longer than all of them together."
        raise BadComponent(f"{field}.timeout_seconds", "invalid_timeout", message)
    return {"name": name, kind: probe, **numbers}


def _number(field: str, name: str, value: Any) -> int:
    low, high, default = NUMBERS[name]
    if value is None or value == 0:
        return default or 0
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not low <= value <= high:
        message = f"{name} is {low} to {high}."
        raise BadComponent(f"{field}.{name}", "invalid_number", message)
    return int(value)


def _http(field: str, probe: Any) -> dict[str, Any]:
    _only(field, probe, {"url", "statuses", "contains"})
    url, contains = probe.get("url"), probe.get("contains") or ""
    statuses = probe.get("statuses") or []
    if not _is_http(url):
        raise BadComponent(f"{field}.url", "invalid_url", "A URL begins with http:// or https://.")
    if not isinstance(contains, str) or len(contains) > 200:
        raise BadComponent(f"{field}.contains", "invalid_text", "At most 200 letters.")
    known = all(type(status) is int and 100 <= status <= 599 for status in statuses)
    if not isinstance(statuses, list) or len(statuses) > MAX_STATUSES or not known:
        raise BadComponent(f"{field}.statuses", "invalid_status", "A status is 100 to 599.")
    return {"url": url, "statuses": sorted(set(statuses)), "contains": contains}


def _is_http(url: Any) -> bool:
    if not isinstance(url, str) or len(url) > 1024 or not url.isascii() or not url.isprintable():
        return False
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    plain = " " not in url and parts.username is None and parts.password is None
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain and has_port


def _tcp(field: str, probe: Any) -> dict[str, Any]:
    _only(field, probe, {"host", "port"})
    host, port = probe.get("host") or "", probe.get("port")
    if not isinstance(host, str) or len(host) > 253 or not set(host) <= _HOST_LETTERS:
        raise BadComponent(f"{field}.host", "invalid_host", "A host is a name or an address.")
    if type(port) is not int or not 1 <= port <= 65535:
        raise BadComponent(f"{field}.port", "invalid_port", "A port is 1 to 65535.")
    return {"host": host, "port": port}


def _heartbeat(field: str, probe: Any) -> dict[str, Any]:
    _only(field, probe, set())
    return {}


def _command(field: str, probe: Any) -> dict[str, Any]:
    return checked_command(field, probe)


def _only(field: str, probe: Any, names: set[str]) -> None:
    if not isinstance(probe, Mapping) or set(probe) - names:
        known = ", ".join(sorted(names)) or "nothing"
        raise BadComponent(field, "invalid_probe", f"This probe has {known}.")


_HOST_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:%_")
_READERS = {"http": _http, "tcp": _tcp, "heartbeat": _heartbeat, "command": _command}
