"""Values and keys that devices really have, for whoever writes a filter."""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from apps.core.actors import Actor
from apps.core.authz import require_somewhere
from apps.core.filters import Field
from apps.core.filters.completion import Completion, complete
from apps.devices.filters import DEVICE_FIELDS, GROUP
from apps.devices.models import Device, DeviceGroup
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.selectors.filtering import groups_in_sight
from apps.devices.selectors.places import within

LOOKED_AT = 1000
MOST = 200


def complete_filter(actor: Actor, text: str, cursor: int) -> Completion:
    """What can stand at the cursor. Values are those of devices and groups that the actor sees."""
    require_somewhere(actor, VIEW_DEVICES)
    return complete(text, cursor, DEVICE_FIELDS, _Fleet(actor))


class _Fleet:
    """The first devices by name stand for all: asking every device would take too long."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor

    def values(self, field: Field, key: str) -> Iterable[str]:
        """The common ones first."""
        if field.kind is GROUP:
            return self._group_names()
        found: Counter[str] = Counter()
        for device in self._devices:
            found.update(_texts(field.read(device, key)))
        return [text for text, _ in found.most_common(MOST)]

    def keys(self, field: Field) -> Iterable[str]:
        """Likewise; both fields with keys are texts in a mapping."""
        found: Counter[str] = Counter()
        for device in self._devices:
            facts = device.inventory.get("facts") if field.name == "labels" else device.installed
            found.update(facts if isinstance(facts, dict) else ())
        return [text for text, _ in found.most_common(MOST)]

    def _group_names(self) -> list[str]:
        rows = DeviceGroup.objects.for_org(self.actor.organization_id).order_by("name")
        return [group.name for group in groups_in_sight(self.actor, rows[:LOOKED_AT])]

    @cached_property
    def _devices(self) -> list[Device]:
        rows = Device.objects.for_org(self.actor.organization_id).select_related("state")
        seen: Any = within(self.actor, VIEW_DEVICES, rows)
        return list(seen.order_by("name", "id")[:LOOKED_AT])


def _texts(value: Any) -> list[str]:
    """What can be suggested of a device's value: texts, alone or several; figures say little."""
    if isinstance(value, str):
        return [value] if value else []
    return [str(each) for each in value] if isinstance(value, list | dict) else []
