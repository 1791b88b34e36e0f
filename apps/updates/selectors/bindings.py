"""What the words of a plan stand for now: the groups that it names, and what these follow.

A plan holds names of groups in its filters, and groups by their ids. What a name or a smart group
means can be changed by people who may not plan rollouts, so an approval is bound to what it was.
"""

from typing import Any
from uuid import UUID

from apps.core.actors import system_actor
from apps.core.filters import FilterError
from apps.core.filters.lexer import quoted
from apps.devices.models import DeviceGroup
from apps.devices.selectors.filtering import DeviceFilter, read_filter
from apps.updates.domain.plan import Plan
from apps.updates.types import Target


def bindings_of(
    organization_id: UUID, target: Target, excluded: Target, plan: Plan
) -> dict[str, Any]:
    """Filters of a plan with their groups by id, and what each group that they lead to follows.

    As JSON can hold it; empty where the plan names no group, or only such of chosen devices: who is
    in those changes, as everybody knows. What cannot be read any more is said so, for hashes must
    not fail.
    """
    written = [target.filter, excluded.filter, *(phase.filter for phase in plan.phases)]
    named = [*target.group_ids, *excluded.group_ids]
    texts = [text for text in written if text.strip()] + _following(organization_id, named)
    filters: dict[str, str] = {}
    groups: dict[str, str] = {}
    for text in texts:
        try:
            found = read_filter(system_actor(organization_id), text)
        except FilterError as error:
            filters[text] = f"! {error.code}"
            continue
        if found.group_ids:
            filters[text] = str(found)
            groups |= _rules(found)
    return {"filters": filters, "groups": groups} if groups or filters else {}


def _following(organization_id: UUID, group_ids: list[UUID]) -> list[str]:
    """A filter for each group among these that follows a filter or a tag, as if it was written."""
    if not group_ids:
        return []
    rows = DeviceGroup.objects.for_org(organization_id).filter(id__in=group_ids)
    ids = rows.exclude(filter="", tag="").order_by("id").values_list("id", flat=True)
    return [f"group = {quoted(str(group_id))}" for group_id in ids]


def _rules(found: DeviceFilter) -> dict[str, str]:
    """What decides who is in each group that a filter leads to."""
    return {
        str(rule.id): str(rule.filter) if rule.filter is not None else f"tag {rule.tag}"
        for rule in found.context.groups.values()
    }
