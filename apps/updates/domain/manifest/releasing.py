"""Templates: the release that goes to the devices."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

from apps.core.filters.lexer import quoted
from apps.updates.domain.checks import checked_checks
from apps.updates.domain.components import (
    DEFAULT_HOOK_SECONDS,
    MAX_WORD_LENGTH,
    BadComponent,
    check_component,
    checked_hooks,
    is_release_name,
    is_version,
)
from apps.updates.domain.install_options import checked_options
from apps.updates.domain.manifest.checking import Item
from apps.updates.domain.manifest.manifest import NewRelease, Part, ReleaseName, Requirement
from apps.updates.domain.manifest.notes import Notes

MAX_PARTS = 32
MAX_NOTES = 10_000
DEFAULT_DEADLINE = 300
METRICS = ("cpu_ratio", "memory_ratio", "disk_ratio", "temperature_celsius", "uptime_seconds")
# What checks may call a field of devices, besides its own name.
NAMES = {name: f"metrics.{name}" for name in METRICS} | {
    "device_temperature": "metrics.temperature_celsius"
}
NUMBERS = {
    "initial_delay_seconds": "initialDelaySeconds",
    "interval_seconds": "periodSeconds",
    "timeout_seconds": "timeoutSeconds",
    "success_threshold": "successThreshold",
    "failure_threshold": "failureThreshold",
}
_CLAUSE = re.compile(
    r"\s*([A-Za-z_][A-Za-z0-9_.]*)\s*(==|!=|<=|>=|<|>|=)\s*"
    r"(?:\"([^\"]*)\"|'([^']*)'|([^\s&|()\"'*]+))\s*"
)


def release_of(spec: Item, notes: Notes) -> ReleaseName | NewRelease:
    """The release that the template names, or the one that its artifacts make."""
    item = spec.find("template.spec") or Item(spec.place)
    for name in ("name", "version", "channel"):
        notes.keep(name, item.find(f"release.{name}") or item.find("release"))
    if item.find("artifacts") is None:
        return _named(item, notes)
    return _made(item, notes)


def firmware_of(release: ReleaseName | NewRelease) -> str:
    """The component that is the device's firmware, where exactly one is."""
    parts = release.parts if isinstance(release, NewRelease) else ()
    found = [part.name for part in parts if part.kind == "firmware"]
    return found[0] if len(found) == 1 else ""


def _named(item: Item, notes: Notes) -> ReleaseName:
    for name in ("hooks", "healthCheck", "validation", "bundle"):
        if found := item.find(name):
            message = "This belongs to a release that is made of `artifacts`; one that is there "
            notes.refuse(found, f"{message}has its own.")
    release = item.find("release")
    if not item.says("release"):
        notes.refuse(item, "A `release` that is there has to be named, or `artifacts` to make one.")
    version, channel = item.get("release.version", ""), item.get("release.channel", "")
    if release and not release.find("name"):
        notes.refuse(release, "The key 'name' is missing here.")
    if release and bool(version) == bool(channel):
        notes.refuse(release, "Say one of 'version' and 'channel'.")
    return ReleaseName(item.get("release.name", ""), version, channel)


def _made(item: Item, notes: Notes) -> NewRelease:
    items = item.each("artifacts")
    notes.keep("components", item.find("artifacts"))
    if channel := item.find("release.channel"):
        notes.refuse(channel, "A channel names a release that is there; this one is made.")
    if not 0 < len(items) <= MAX_PARTS:
        notes.refuse(item.find("artifacts") or item, "A release has 1 to 32 artifacts.")
    version = _version(item, items, notes)
    name = item.get("release.name") or (items[0].get("name", "") if items else "")
    if name and not is_release_name(name):
        notes.refuse(item.find("release.name") or items[0], "This is no name of a release.")
    hooks, checks = _all_hooks(item, notes), _checks(item, notes)
    parts = []
    for place, each in enumerate(items):
        own = {"before": place == 0, "roll_back": place == 0, "after": place == len(items) - 1}
        its_hooks = {hook: found for hook, found in hooks.items() if own[hook]}
        its_checks = checks if own["after"] else ()
        parts.append(_part(f"components.{place}", each, its_hooks, its_checks, notes))
    _refuse_twice(items, notes)
    return NewRelease(
        name=name,
        version=version,
        bundle_mode=item.get("bundle", "atomic"),
        parts=tuple(parts),
        requirements=tuple(_requirements(item)),
        notes=_notes(item)[:MAX_NOTES],
    )


def _version(item: Item, items: list[Item], notes: Notes) -> str:
    """The one version of all artifacts."""
    said = [found for each in items if (found := each.find("version"))]
    if own := item.find("release.version"):
        said.append(own)
    for other in said[1:]:
        if other.value != said[0].value:
            message = f"A release has one version; {said[0].value} stands above."
            notes.refuse(other, f"{message} Make a rollout for each version.")
    if said and not is_version(said[0].value):
        notes.refuse(said[0], "A version looks like 1.2.3.")
    notes.places.setdefault("version", said[0].place if said else item.place)
    return said[0].value if said else ""


def _refuse_twice(items: list[Item], notes: Notes) -> None:
    seen: dict[str, Item] = {}
    for each in items:
        name = each.find("name")
        if name and seen.setdefault(name.value, name) is not name:
            notes.refuse(name, "Two artifacts have this name.")


def _part(field: str, item: Item, hooks: Any, checks: Any, notes: Notes) -> Part:
    notes.keep(field, item)
    for name in ("name", "target", "size"):
        notes.keep(f"{field}.{name}", item.find(name))
    notes.keep(f"{field}.artifact_id", item.find("checksum"))
    notes.keep(f"{field}.kind", item.find("type"))
    notes.keep(f"{field}.file_mode", item.find("mode"))
    notes.keep(f"{field}.install_options", item.find("options"))
    notes.keep(f"{field}.install_options.environment", item.find("env"))
    part = Part(
        name=item.get("name", ""),
        kind=item.get("type", ""),
        sha256=item.get("checksum", ""),
        place=(item.find("checksum") or item).place,
        size=item.get("size"),
        target=item.get("target", ""),
        file_mode=item.get("mode", 0),
        hooks=hooks,
        install_options=_options(item, notes),
        checks=checks,
    )
    if part.name and not is_release_name(part.name):
        notes.refuse_field(f"{field}.name", "A name has 1 to 100 letters, digits, . + - _.")
    if part.kind:
        _check_part(field, part, notes)
    return part


def _check_part(field: str, part: Part, notes: Notes) -> None:
    try:
        check_component(part.kind, part.target, part.file_mode)
    except BadComponent as bad:
        notes.refuse_field(f"{field}.{bad.field}", bad.message)
    try:
        checked_options(part.kind, part.install_options)
    except BadComponent as bad:
        notes.refuse_field(f"{field}.{bad.field}", bad.message)


def _options(item: Item, notes: Notes) -> dict[str, str]:
    found = item.mapping("options")
    variables = item.mapping("env")
    if variables and "environment" in found:
        notes.refuse(item.find("env") or item, "The option `environment` says this already.")
    if variables:
        found["environment"] = "\n".join(f"{name}={value}" for name, value in variables.items())
    return found


def _all_hooks(item: Item, notes: Notes) -> dict[str, dict[str, Any]]:
    """Our hooks: before the first component, after the last one, and while going back."""
    found: dict[str, dict[str, Any]] = {}
    pairs = (("before", "preUpdate"), ("after", "postUpdate"), ("roll_back", "rollback"))
    for name, key in pairs:
        hooks = item.each(f"hooks.{key}")
        where = item.find(f"hooks.{key}")
        if hooks and where:
            hook = _hook(hooks, where, notes)
            try:
                found |= checked_hooks({name: hook})
            except BadComponent as bad:
                notes.refuse(where, bad.message)
    return found


def _hook(items: list[Item], where: Item, notes: Notes) -> dict[str, Any]:
    """One command of one hook or several, which a shell runs until one of them fails."""
    for item in items:
        command = item.find("command")
        if command and (not command.items or not command.items[0].value.strip()):
            notes.refuse(command, "A command begins with a program.")
        if item.get("timeout") == 0:
            notes.refuse(item.find("timeout") or item, "A hook runs 1 second at least.")
    seconds = sum(item.get("timeout", DEFAULT_HOOK_SECONDS) for item in items)
    commands = [item.values("command") for item in items]
    if len(commands) == 1:
        return {"command": commands[0] or ["?"], "timeout_seconds": seconds or 1}
    script = "\n".join(shlex.join(command) for command in commands)
    if len(script) > MAX_WORD_LENGTH:
        message = f"Together these hooks have more than {MAX_WORD_LENGTH} characters: "
        notes.refuse(where, f"{message}put them into a script on the device.")
        script = ":"
    return {"command": ["/bin/sh", "-ec", script], "timeout_seconds": seconds or 1}


def _checks(item: Item, notes: Notes) -> tuple[dict[str, Any], ...]:
    check = item.find("healthCheck")
    if check is None:
        return ()
    numbers = {name: check.get(key, 0) for name, key in NUMBERS.items()}
    numbers["deadline_seconds"] = check.get("deadlineSeconds") or _deadline(numbers)
    probes = list(_probes(check, notes))
    if not probes:
        notes.refuse(check, "A health check needs httpGet, exec or tcpSocket.")
    try:
        return tuple(checked_checks([{**probe, **numbers} for probe in probes]))
    except BadComponent as bad:
        key = NUMBERS.get(bad.field.rpartition(".")[2], "deadlineSeconds")
        notes.refuse(check.find(key) or check, bad.message)
        return ()


def _deadline(numbers: dict[str, int]) -> int:
    """As long as the tries that the numbers speak of can take, the usual time at least."""
    tries = (numbers["success_threshold"] or 1) + numbers["failure_threshold"]
    each = (numbers["interval_seconds"] or 5) + (numbers["timeout_seconds"] or 10)
    return min(max(DEFAULT_DEADLINE, numbers["initial_delay_seconds"] + tries * each), 86_400)


def _probes(check: Item, notes: Notes) -> Iterator[dict[str, Any]]:
    if http := check.find("httpGet"):
        path = http.find("path")
        if path and not path.value.startswith("/"):
            notes.refuse(path, "A path begins with a slash.")
        host = http.get("host", "127.0.0.1")
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        port, scheme = http.get("port", 80), http.get("scheme", "HTTP").lower()
        url = f"{scheme}://{host}:{port}/{http.get('path', '').removeprefix('/')}"
        yield {"name": "http", "http": {"url": url}}
    if command := check.find("exec"):
        words = command.values("command")
        if not words or not words[0].strip():
            notes.refuse(command, "A command begins with a program.")
        seconds = check.get("timeoutSeconds", 10)
        yield {"name": "exec", "command": {"command": words or ["?"], "timeout_seconds": seconds}}
    if tcp := check.find("tcpSocket"):
        probe = {"host": tcp.get("host", ""), "port": tcp.get("port", 1)}
        yield {"name": "tcp", "tcp": probe}


def _requirements(item: Item) -> Iterator[Requirement]:
    for each in item.each("validation.requirements"):
        check = each.find("check")
        if check is not None:
            yield Requirement(filter_of_check(check.value), check.place)


def filter_of_check(text: str) -> str:
    """A check as a filter: `a > 1 && b < 2` with the names of fields; anything else as it is."""
    clauses = [_CLAUSE.fullmatch(part) for part in text.split("&&")]
    found = [clause.groups() for clause in clauses if clause is not None]
    if len(found) != len(clauses):
        return text
    return " AND ".join(
        f"{NAMES.get(name, name)} {'=' if operator == '==' else operator} "
        f"{quoted(next(value for value in values if value is not None))}"
        for name, operator, *values in found
    )


def _notes(item: Item) -> str:
    """What the release says of itself: names that nothing else has a place for."""
    lines = []
    for key in ("preUpdate", "postUpdate", "rollback"):
        for hook in item.each(f"hooks.{key}"):
            if hook.find("name"):
                lines.append(f"- {key}: {hook.get('name')}: {shlex.join(hook.values('command'))}")
    for each in item.each("validation.requirements"):
        said = ": ".join(each.get(name) for name in ("name", "message") if each.find(name))
        if said:
            lines.append(f"- requires {each.get('check', '')}: {said}")
    return "\n".join(lines)
