"""Typed readers of the process environment.

Django is not imported here: the supervisor, which has to stay small, reads its settings through the
same registry as the web process does.
"""

import difflib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

PREFIX = "FLEETD_"
FILE_SUFFIX = "_FILE"
TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})


class Kind(StrEnum):
    """How the text of a setting is read."""

    TEXT = "text"
    SECRET = "secret"  # noqa: S105  the name of a type
    INTEGER = "integer"
    SECONDS = "seconds"
    BOOLEAN = "boolean"
    LIST = "list"
    PATH = "path"
    ADDRESS = "host:port"
    URL = "url"
    CHOICE = "choice"


class SettingError(Exception):
    """A setting cannot be used; the message names it and never repeats a secret value."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One name of the environment: what it means, how it is read and what holds without it."""

    name: str
    kind: Kind
    default: str | None
    help: str
    choices: tuple[str, ...] = ()
    shown_default: str | None = None

    @property
    def file_name(self) -> str | None:
        """The name that holds a path to the value instead; paths have none."""
        return None if self.kind is Kind.PATH else self.name + FILE_SUFFIX


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback_host(self.host)

    @property
    def url(self) -> str:
        """What a browser on this machine opens; a wildcard is no name to open."""
        if self.host in {"0.0.0.0", "::"}:  # noqa: S104  compared, not listened on
            return f"http://localhost:{self.port}"
        return f"http://{self}"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback_host(host: str) -> bool:
    """Whether a host is this machine by its name or address."""
    return host in {"localhost", "::1"} or host.startswith("127.")


class Environment:
    """Reads settings of a registry from a mapping, normally `os.environ`."""

    def __init__(
        self,
        settings: Iterable[Setting],
        values: Mapping[str, str] | None = None,
        *,
        names_of_clients: frozenset[str] = frozenset(),
    ) -> None:
        self.settings = {setting.name: setting for setting in settings}
        self.names_of_clients = names_of_clients
        self.values = os.environ if values is None else values

    def is_set(self, name: str) -> bool:
        """Whether the value or its `_FILE` variant is given and not empty."""
        file_name = self.settings[name].file_name
        return bool(self.values.get(name) or (file_name and self.values.get(file_name)))

    def raw(self, name: str) -> str | None:
        """The text of a setting: its value, else the content of its `_FILE`, else the default."""
        setting = self.settings[name]
        value = self.values.get(name)
        path = self.values.get(setting.file_name) if setting.file_name else None
        if value and path:
            raise SettingError(f"{name} and {setting.file_name} are both set: choose one")
        if path:
            return _read_file(setting, path)
        return value or setting.default

    def find_text(self, name: str) -> str | None:
        """The text of a setting, or None where it has neither value nor default."""
        return self._expect(name, self.raw(name))

    def text(self, name: str) -> str:
        """The text of a setting that must have a value."""
        value = self.find_text(name)
        if value is None:
            raise SettingError(f"{name} is required")
        return value

    def integer(self, name: str) -> int:
        """A whole number that is not negative."""
        return int(self.seconds(name))

    def seconds(self, name: str) -> float:
        """A duration in seconds that is finite and not negative."""
        value = self.text(name)
        try:
            number = float(value)
        except ValueError:
            raise SettingError(f"{name}={value!r} is not a number") from None
        if not math.isfinite(number) or number < 0:
            raise SettingError(f"{name}={value!r} must be a number that is not negative")
        if self.settings[name].kind is Kind.INTEGER and number != int(number):
            raise SettingError(f"{name}={value!r} must be a whole number")
        return number

    def boolean(self, name: str) -> bool:
        """Yes or no, in the usual spellings."""
        value = self.text(name).lower()
        if value not in TRUE | FALSE:
            raise SettingError(f"{name}={value!r} is neither yes nor no: use true or false")
        return value in TRUE

    def items(self, name: str) -> list[str]:
        """The parts of a comma-separated list, without empty ones."""
        return [part.strip() for part in (self.raw(name) or "").split(",") if part.strip()]

    def path(self, name: str) -> Path:
        """An absolute path; relative ones start at the working directory."""
        return Path(self.text(name)).expanduser().absolute()

    def find_path(self, name: str) -> Path | None:
        """An absolute path, or None where the setting is not given."""
        return self.path(name) if self.is_set(name) else None

    def value_file(self, name: str) -> Path | None:
        """The file that the `_FILE` variant names, for values that may change while we run."""
        given = self.values.get(self.settings[name].file_name or "")
        return Path(given).expanduser().absolute() if given else None

    def address(self, name: str) -> Address:
        """A listening address `host:port`; IPv6 hosts stand in brackets."""
        value = self.text(name)
        host, separator, port = value.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not separator or not host or not port.isdigit() or int(port) > 65535:
            raise SettingError(f"{name}={value!r} is not host:port, for example 127.0.0.1:8080")
        return Address(host, int(port))

    def unknown(self) -> list[tuple[str, str | None]]:
        """Names that start with FLEETD_ and that nothing reads, each with the nearest known one."""
        known = set(self.settings)
        known |= {setting.file_name for setting in self.settings.values() if setting.file_name}
        known_here = known | self.names_of_clients
        strange = sorted(n for n in self.values if n.startswith(PREFIX) and n not in known_here)
        return [(n, next(iter(difflib.get_close_matches(n, known, 1)), None)) for n in strange]

    def warnings(self) -> list[str]:
        """One sentence for each unknown name."""
        return [
            f"{name} is not a setting of fleetd" + (f"; did you mean {near}?" if near else "")
            for name, near in self.unknown()
        ]

    def validate(self) -> list[str]:
        """Reads every setting that is given by its type; returns what is wrong."""
        problems = []
        for name in self.settings:
            try:
                self.typed(name)
            except SettingError as error:
                problems.append(str(error))
        return problems

    def typed(self, name: str) -> object:
        """The value read by the kind of its setting; None where there is none."""
        if self.raw(name) is None:
            return None
        readers = {
            Kind.INTEGER: self.integer,
            Kind.SECONDS: self.seconds,
            Kind.BOOLEAN: self.boolean,
            Kind.LIST: self.items,
            Kind.PATH: self.path,
            Kind.ADDRESS: self.address,
        }
        reader = readers.get(self.settings[name].kind, self.text)
        return reader(name)

    def _expect(self, name: str, value: str | None) -> str | None:
        setting = self.settings[name]
        if value is not None and setting.kind is Kind.CHOICE and value not in setting.choices:
            raise SettingError(f"{name}={value!r} must be one of {', '.join(setting.choices)}")
        if value is not None and setting.kind is Kind.URL and not urlsplit(value).scheme:
            raise SettingError(f"{name} is not a URL")
        return value


def _read_file(setting: Setting, path: str) -> str | None:
    try:
        return Path(path).read_text().strip() or setting.default
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise SettingError(f"{setting.file_name}: cannot read {path}: {reason}") from None
