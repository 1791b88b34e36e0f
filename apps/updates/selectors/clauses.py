"""What each part of a target says of one device."""

from apps.core.actors import Actor
from apps.core.filters.lexer import quoted
from apps.devices.models import Device, DeviceGroup
from apps.devices.selectors.filtering import DeviceFilter, read_filter
from apps.updates.domain.eligibility import Comparison
from apps.updates.domain.states import FAILED_DEPLOYMENT_STATES
from apps.updates.models import Deployment, Rollout
from apps.updates.selectors.reason_terms import reason_of
from apps.updates.types import Target

LONGEST = 200


def clauses_of(platform: Actor, target: Target, device: Device) -> tuple[Comparison, ...]:
    """Every part of a target with the device's own value; nothing for one that means everything.

    Raises `FilterError` for a filter that cannot be read any more. `platform` sees all groups.
    """
    found = [_among_ids(target, device)] if target.device_ids else []
    found += [Comparison(f"tags:{quoted(t)}", _tags(device), t in device.tags) for t in target.tags]
    found += _groups(platform, target, device)
    if target.filter.strip():
        found += _findings(read_filter(platform, target.filter), device)
    if target.failed_in:
        found.append(_failed(platform, target, device))
    return tuple(found)


def _among_ids(target: Target, device: Device) -> Comparison:
    words = f"one of {len(target.device_ids)} chosen devices"
    return Comparison(words, device.name, device.id in target.device_ids)


def _tags(device: Device) -> str:
    return ", ".join(device.tags)[:LONGEST]


def _groups(platform: Actor, target: Target, device: Device) -> list[Comparison]:
    if not target.group_ids:
        return []
    rows = DeviceGroup.objects.for_org(platform.organization_id)
    names = dict(rows.filter(id__in=target.group_ids).values_list("id", "name"))
    found = []
    for group_id, name in names.items():
        is_in = read_filter(platform, f'group = "{group_id}"').matches(device)
        where = "is in it" if is_in else "is not in it"
        found.append(Comparison(f"group = {quoted(name)}", where, is_in))
    return found


def _findings(asked: DeviceFilter, device: Device) -> list[Comparison]:
    names = {str(rule.id): rule.name for rule in asked.context.groups.values()}
    return [
        Comparison(_shown(finding.text, names), _value(finding.actual), finding.holds)
        for finding in asked.findings(device)
    ]


def _shown(text: str, names: dict[str, str]) -> str:
    for group_id, name in names.items():
        text = text.replace(group_id, name)
    return text


def _value(actual: object) -> str:
    if actual is None or isinstance(actual, Device):
        return ""
    if isinstance(actual, list | tuple):
        return ", ".join(str(each) for each in actual)[:LONGEST]
    return str(actual)[:LONGEST]


def _failed(platform: Actor, target: Target, device: Device) -> Comparison:
    rollout = Rollout.objects.for_org(platform.organization_id).get(id=target.failed_in)
    rows = Deployment.objects.for_org(platform.organization_id).filter(
        rollout_id=rollout.id, device_id=device.id, is_retried=False
    )
    found = rows.annotate(why=reason_of()).values_list("state", "why").first()
    state, reason = found or ("no deployment there", "")
    said = state if reason in (state, "") else f"{state}: {reason}"
    is_meant = target.failed_because in ("", reason) and state in FAILED_DEPLOYMENT_STATES
    because = f" with {quoted(target.failed_because)}" if target.failed_because else ""
    return Comparison(f"failed in “{rollout.name}”{because}", said, is_meant)
