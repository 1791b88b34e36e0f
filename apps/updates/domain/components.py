"""What releases may be made of."""

import re
from collections.abc import Mapping
from typing import Any

HOOKS = ("before", "after", "verify", "roll_back")
MAX_COMMAND_WORDS = 32
MAX_WORD_LENGTH = 1024
MAX_HOOK_SECONDS = 86_400
DEFAULT_HOOK_SECONDS = 60
MAX_FILE_MODE = 0o7777

_NAME = re.compile(r"[^\W_][\w .+-]{0,99}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+~-]{0,63}", re.ASCII)
# The same pattern stands in the agent.
_SLOT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}", re.ASCII)
_CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}", re.ASCII)


class BadComponent(ValueError):
    """Something that a release cannot hold: which field, a stable code, and why."""

    def __init__(self, field: str, code: str, message: str) -> None:
        self.field, self.code, self.message = field, code, message
        super().__init__(message)


def is_release_name(name: str) -> bool:
    """Letters, digits, spaces and `.+-_`, at most 100, the first a letter or digit."""
    return _NAME.fullmatch(name) is not None and name == name.strip()


def is_version(version: str) -> bool:
    """As in 1.2.3-rc.1+build, at most 64 characters."""
    return _VERSION.fullmatch(version) is not None


def check_component(kind: str, target: str, file_mode: int) -> None:
    """Raises `BadComponent` where a component of this kind cannot go to this target."""
    if not 0 <= file_mode <= MAX_FILE_MODE:
        raise BadComponent("file_mode", "invalid_file_mode", "A file mode is 0 to 07777 (octal).")
    if len(target) > 512 or not target.isprintable():
        raise BadComponent("target", "invalid_target", "A target is one printable line.")
    if kind == "firmware" and not _SLOT.fullmatch(target):
        raise BadComponent("target", "invalid_target", "Firmware needs the name of a slot.")
    if kind == "container" and not _CONTAINER.fullmatch(target):
        raise BadComponent("target", "invalid_target", "A container needs its name.")
    if kind == "package" and target and not _PACKAGE.fullmatch(target):
        message = "The target of a package is its name, or empty."
        raise BadComponent("target", "invalid_target", message)
    if kind in ("binary", "config") and not _is_plain_path(target):
        message = "Binaries and configuration files need an absolute path on the device."
        raise BadComponent("target", "invalid_target", message)


def checked_hooks(hooks: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Hooks with every time limit filled in. Raises `BadComponent` for anything else."""
    unknown = sorted(set(hooks) - set(HOOKS))
    if unknown:
        raise BadComponent("hooks", "unknown_hook", f"There is no hook {unknown[0]!r}.")
    return {name: checked_command(f"hooks.{name}", hook) for name, hook in hooks.items() if hook}


def checked_command(field: str, hook: Any) -> dict[str, Any]:
    """A command with its time limit filled in. Raises `BadComponent` that names `field`."""
    if not isinstance(hook, Mapping) or set(hook) - {"command", "timeout_seconds"}:
        raise BadComponent(field, "invalid_hook", "A hook has a command and timeout_seconds.")
    command, seconds = hook.get("command"), hook.get("timeout_seconds") or DEFAULT_HOOK_SECONDS
    if not isinstance(command, list | tuple) or not 0 < len(command) <= MAX_COMMAND_WORDS:
        raise BadComponent(field, "invalid_command", "A command has 1 to 32 words.")
    if not all(isinstance(w, str) and len(w) <= MAX_WORD_LENGTH and "\0" not in w for w in command):
        raise BadComponent(field, "invalid_command", "Words have at most 1024 characters.")
    if not command[0].strip():
        raise BadComponent(field, "invalid_command", "A command begins with a program.")
    whole = isinstance(seconds, int) and not isinstance(seconds, bool)
    if not whole or not 0 < seconds <= MAX_HOOK_SECONDS:
        raise BadComponent(field, "invalid_timeout", "A hook runs 1 to 86400 seconds.")
    return {"command": list(command), "timeout_seconds": seconds}


def _is_plain_path(path: str) -> bool:
    """Absolute, names a file, and does not climb."""
    return path.startswith("/") and not path.endswith("/") and ".." not in path.split("/")
