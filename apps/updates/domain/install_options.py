"""What a release may tell the installer of each kind of component: a closed list."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from apps.updates.domain.components import BadComponent

MAX_VALUE_LENGTH = 4000
_UNIT = r"[A-Za-z0-9:_.@-]{1,120}\.(?:service|socket|timer|target)"
_BOOLEAN = "true|false"
_ACCOUNT = r"[a-z_][a-z0-9_-]{0,31}"
_PORT = r"(?:\d{1,3}(?:\.\d{1,3}){3}:)?\d{1,5}:\d{1,5}(?:/(?:tcp|udp))?"
_PATH = r"/[^\s:,]{0,255}"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,127}=[^\n]{0,1024}"


@dataclass(frozen=True, slots=True)
class Option:
    """One option: the pattern that its whole value has to match, and what it means.

    An option with `is_list` holds one value per line.
    """

    pattern: str
    meaning: str
    is_list: bool = False

    def accepts(self, value: str) -> bool:
        """Whether this is a value of the option."""
        values = value.split("\n") if self.is_list else [value]
        return all(re.fullmatch(self.pattern, each, re.ASCII) for each in values)


_REBOOT = Option(_BOOLEAN, "whether the device has to reboot afterwards")
_SERVICE = Option(_UNIT, "the systemd unit that uses the file")
_ACTION = Option("restart|reload|none", "what happens to the unit afterwards; restart if not said")
_OWNER = Option(f"{_ACCOUNT}(?::{_ACCOUNT})?", "owner, or owner:group, of the file")

OPTIONS: Mapping[str, Mapping[str, Option]] = {
    "firmware": {"reboot": _REBOOT},
    "binary": {"service": _SERVICE, "action": _ACTION, "owner": _OWNER, "reboot": _REBOOT},
    "config": {"service": _SERVICE, "action": _ACTION, "owner": _OWNER, "reboot": _REBOOT},
    "script": {
        "timeout_seconds": Option(r"[1-9]\d{0,4}", "how long the script may run; 900 if not said"),
        "interpreter": Option(_PATH, "the program that runs it, instead of its first line's"),
        "reboot": _REBOOT,
    },
    "package": {
        "manager": Option("apt", "the package manager"),
        "package_name": Option(r"[a-z0-9][a-z0-9+.-]{1,127}", "the name that the package has"),
        "hold": Option(_BOOLEAN, "whether the device's own upgrades leave it alone"),
        "without_way_back": Option(
            _BOOLEAN, "whether to install it where the file of the version before is not to be had"
        ),
        "reboot": _REBOOT,
    },
    "container": {
        "engine": Option("auto|docker|podman", "the engine; the one that is there if not said"),
        "image": Option(r"[a-z0-9][a-z0-9._/:@-]{0,254}", "the image's name in the archive"),
        "restart": Option(
            "no|always|on-failure|unless-stopped", "when it restarts; unless-stopped if not said"
        ),
        "network": Option(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "bridge, host, none, or one's name"),
        "ports": Option(_PORT, "published ports, as 8080:80/tcp", is_list=True),
        "volumes": Option(
            rf"(?:{_PATH}|[A-Za-z0-9][A-Za-z0-9_.-]{{0,63}}):{_PATH}(?::r[ow])?",
            "mounts, as /srv/data:/data:ro",
            is_list=True,
        ),
        "environment": Option(_VARIABLE, "variables, as NAME=value", is_list=True),
        "reboot": _REBOOT,
    },
}


def checked_options(kind: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options of a component of this kind, in order. Raises `BadComponent` for any other."""
    known = OPTIONS.get(kind, {})
    for name, value in options.items():
        field = f"install_options.{str(name)[:40]}"
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            message = f"There is no option {str(name)[:40]!r} for this kind; known: {names}."
            raise BadComponent(field, "unknown_option", message)
        if not isinstance(value, str) or len(value) > MAX_VALUE_LENGTH:
            raise BadComponent(field, "invalid_option", "A value is a text of up to 4000 letters.")
        if not known[name].accepts(value):
            message = f"{value[:60]!r} is not: {known[name].meaning}."
            raise BadComponent(field, "invalid_option", message)
    return dict(sorted(options.items()))
