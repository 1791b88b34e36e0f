"""Selectors: which devices. Demands on labels become one filter."""

import re
from uuid import UUID

from apps.core.filters.lexer import quoted
from apps.updates.domain.manifest.checking import Item
from apps.updates.domain.manifest.manifest import Selection
from apps.updates.domain.manifest.notes import Notes

# What devices have a field for; every other key is a label that the agent reports.
FIELDS = {
    "model": "model",
    "architecture": "architecture",
    "hostname": "hostname",
    "serial": "serial",
    "hardware-id": "hardware_id",
    "os-name": "os_name",
    "os-version": "os_version",
    "kernel-version": "kernel",
    "agent-version": "agent_version",
}
FIRMWARE = "firmware-version"
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_NAMED = (
    ("group_ids", "groups"),
    ("device_ids", "deviceIds"),
    ("tags", "tags"),
    ("percent", "percent"),
    ("maximum", "maximum"),
)
OTHERS = ("filter", "tags", "groups", "deviceIds")


def selection_of(item: Item, field: str, notes: Notes) -> Selection:
    """What a selector or exclusion names."""
    notes.keep(field, item)
    notes.keep(f"{field}.filter", item.find("filter"))
    for name, key in _NAMED:
        notes.keep(f"{field}.{name}", item.find(key))
    labels = item.find("matchLabels") or item.find("matchExpressions")
    other = next((found for name in OTHERS if (found := item.find(name))), None)
    if labels and other:
        message = "Labels and other ways to name devices do not mix: write it as one `filter`."
        notes.refuse(labels, message)
    failed_in = item.find("failedIn")
    return Selection(
        device_ids=tuple(_ids(item.each("deviceIds"), notes)),
        tags=tuple(item.values("tags")),
        groups=tuple(item.values("groups")),
        filter=str(item.get("filter", "")).strip(),
        failed_in=next(iter(_ids([failed_in], notes)), None) if failed_in else None,
        failed_because=str(item.get("failedBecause", "")),
        percent=item.get("percent", 0),
        maximum=item.get("maximum", 0),
    )


def label_filter(item: Item, firmware: str, notes: Notes) -> str:
    """The filter that `matchLabels` and `matchExpressions` say; empty without any.

    `firmware` is the component that is the device's firmware, empty where none is known.
    """
    clauses = []
    labels = item.find("matchLabels")
    for name, value in labels.inner.items() if labels else ():
        field = _field(name, value, firmware, notes)
        clauses.append(f"{field} = {quoted(value.value)}")
    for each in item.each("matchExpressions"):
        key = each.find("key")
        if key is not None and each.get("operator"):
            clauses.append(_expression(each, _field(key.value, key, firmware, notes), notes))
    return " AND ".join(clause for clause in clauses if clause)


def _expression(item: Item, field: str, notes: Notes) -> str:
    operator, values = item.get("operator"), item.values("values")
    takes_values = operator in ("In", "NotIn")
    if takes_values != bool(values):
        message = f"{operator} needs values." if takes_values else f"{operator} takes no values."
        notes.refuse(item.find("values") or item, message)
        return ""
    if not takes_values:
        found = f"{field}:*"
    else:
        found = " OR ".join(f"{field} = {quoted(value)}" for value in dict.fromkeys(values))
        found = f"({found})" if len(set(values)) > 1 else found
    return f"NOT {found}" if operator in ("NotIn", "DoesNotExist") else found


def _field(name: str, item: Item, firmware: str, notes: Notes) -> str:
    if name == FIRMWARE:
        if not firmware:
            message = (
                "Which component is the firmware? One artifact of type firmware says so; "
                'otherwise use `filter`, as in NOT version("app") = "2.4.1".'
            )
            notes.refuse(item, message)
        return f"version({quoted(firmware)})"
    return FIELDS.get(name) or f"labels.{name if _PLAIN.fullmatch(name) else quoted(name)}"


def _ids(items: list[Item], notes: Notes) -> list[UUID]:
    found = []
    for item in items:
        try:
            found.append(UUID(item.value))
        except ValueError:
            notes.refuse(item, "This is no id.")
    return found
