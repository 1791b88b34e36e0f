"""What the form of a new release says, as the service wants it."""

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.errors import invalid
from apps.core.ids import parse_uuid
from apps.updates.types import HOOK_NAMES, Compatibility, NewComponent

MAX_LINES = 64
KINDS = [
    ("binary", gettext_lazy("Program")),
    ("script", gettext_lazy("Script, run once")),
    ("config", gettext_lazy("Configuration file")),
    ("firmware", gettext_lazy("Firmware slot")),
    ("package", gettext_lazy("Package (.deb)")),
    ("container", gettext_lazy("Container image")),
]
BUNDLES = [
    ("atomic", gettext_lazy("All or nothing: every part is switched, or all go back")),
    ("sequential", gettext_lazy("One after the other: those that work stay")),
]
FIRST = {"kind": "binary", "mode": "755", "verify_timeout": "60", "name": "app"}
FIELDS = ("name", "version", "notes", "bundle_mode", "compatible", "requires", "conflicts")


def values_of(data: QueryDict) -> dict[str, Any]:
    """What was filled in about the release, for making it and for showing the form again."""
    values: dict[str, Any] = {name: data.get(name, "").strip() for name in FIELDS}
    return values | {"is_stepping_stone": "is_stepping_stone" in data}


def arguments_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The release as the service wants it. Raises `InvalidRequest` for what cannot be read."""
    return {
        "name": values["name"],
        "version": values["version"],
        "notes": values["notes"],
        "bundle_mode": values["bundle_mode"],
        "compatibility": Compatibility(
            compatible=values["compatible"],
            requires=_rules("requires", values["requires"]),
            conflicts=_rules("conflicts", values["conflicts"]),
            is_stepping_stone=values["is_stepping_stone"],
        ),
    }


def row_of(data: Mapping[str, str], key: str) -> dict[str, str]:
    """One component as it was filled in; kept for showing the form again."""
    names = ("name", "kind", "artifact", "target", "mode", "options", "checks", *HOOK_NAMES)
    row = {name: data.get(f"{name}-{key}", "").strip() for name in names}
    return {**row, "key": key, "verify_timeout": data.get(f"verify-timeout-{key}", "60")}


def component_of(row: Mapping[str, str]) -> NewComponent:
    """The component that a row means. Raises `InvalidRequest` for what cannot be read."""
    artifact_id = parse_uuid(row["artifact"])
    if artifact_id is None:
        raise invalid("artifact", "unknown_artifact", _("Choose an artifact."))
    return NewComponent(
        name=row["name"],
        kind=row["kind"],
        artifact_id=artifact_id,
        target=row["target"],
        file_mode=_mode(row["mode"]),
        hooks={name: _hook(name, row) for name in HOOK_NAMES if row[name]},
        install_options=_options(row["options"]),
        checks=[_check(line) for line in _lines("checks", row["checks"])],
    )


def _lines(field: str, text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > MAX_LINES:
        raise invalid(field, "too_many_lines", _("At most 64 lines."))
    return lines


def _rules(field: str, text: str) -> list[tuple[str, str]]:
    """Lines as `app >=1.2, <2.0`; a name alone means any version."""
    found = []
    for line in _lines(field, text):
        cut = next((i for i, c in enumerate(line) if c in "<>=!*"), len(line))
        found.append((line[:cut].strip(), line[cut:].strip() or "*"))
    return found


def _options(text: str) -> dict[str, str]:
    """Lines as `name = value`; lines of one name are the values of a list."""
    found: dict[str, str] = {}
    for line in _lines("install_options", text):
        name, sign, value = (part.strip() for part in line.partition("="))
        if not sign:
            message = _("An option looks like name = value.")
            raise invalid("install_options", "invalid_option", message)
        found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


def _check(line: str) -> dict[str, Any]:
    """A line as `http URL`, `tcp PORT`, `tcp HOST:PORT`, `heartbeat` or `command WORDS`."""
    word, _space, rest = line.partition(" ")
    reader = _PROBES.get(word)
    if reader is None:
        message = _("A check begins with http, tcp, heartbeat or command.")
        raise invalid("checks", "invalid_check", message)
    return {"name": line[:100], word: reader(rest.strip())}


def _tcp(text: str) -> dict[str, Any]:
    host, _colon, port = text.rpartition(":")
    is_number = port.isascii() and port.isdigit() and len(port) < 6
    return {"host": host.strip("[]"), "port": int(port) if is_number else 0}


def _command(text: str) -> dict[str, Any]:
    return {"command": _words("checks", text)}


def _words(field: str, text: str) -> list[str]:
    """A command line as its words; devices run it without a shell."""
    try:
        return shlex.split(text)
    except ValueError as error:
        message = _("A quotation mark in the command is not closed.")
        raise invalid(field, "invalid_command", message) from error


_PROBES: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "http": lambda text: {"url": text},
    "tcp": _tcp,
    "heartbeat": lambda text: {"nothing": text} if text else {},
    "command": _command,
}


def _mode(text: str) -> int:
    try:
        return int(text or "644", 8)
    except ValueError as error:
        message = _("A file mode has three or four octal digits, as 755.")
        raise invalid("file_mode", "invalid_file_mode", message) from error


def _hook(name: str, row: Mapping[str, str]) -> dict[str, Any]:
    hook: dict[str, Any] = {"command": _words(f"hooks.{name}", row[name])}
    if name == "verify" and row["verify_timeout"].isdigit():
        hook["timeout_seconds"] = int(row["verify_timeout"])
    return hook
