"""Filters of devices: reading them for somebody, and running them.

A filter is stored with the ids of the groups that it speaks of, so that renaming a group changes
nothing, and shown with their names. Whoever writes one can name the groups that they see; a group
out of sight answers like one that never was.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q

from apps.core import clock
from apps.core.actors import Actor
from apps.core.filters import Filter, FilterError, Finding, parse
from apps.core.filters.fields import nearest
from apps.core.filters.lexer import quoted
from apps.core.filters.literals import Literal
from apps.core.filters.syntax import Clause, Leaf, leaves, mapped
from apps.devices.filters import DEVICE_FIELDS, GROUP, DeviceContext, GroupRule
from apps.devices.models import Device, DeviceGroup
from apps.devices.permissions import VIEW_DEVICE_GROUPS, VIEW_DEVICES
from apps.devices.selectors.places import place_of_group

MAX_COMPARISONS = 1000
"""Of a filter with all filters of the smart groups that it leads to."""


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """A filter with all that it needs to run now. Its text names groups by id."""

    filter: Filter
    context: DeviceContext

    def __str__(self) -> str:
        return str(self.filter)

    @property
    def group_ids(self) -> frozenset[UUID]:
        """The groups that it speaks of itself."""
        return group_ids_of_filter(self.filter)

    @property
    def shown(self) -> str:
        """Its text with the groups' names."""
        names = {rule.id: rule.name for rule in self.context.groups.values()}
        return str(_with_names(self.filter, names))

    def q(self) -> Q:
        """The devices that match; every kind of group is looked through."""
        return self.filter.to_q(self.context)

    def matches(self, device: Device) -> bool:
        """The same for one device, read with its state."""
        return self.filter.matches(device, self.context)

    def findings(self, device: Device) -> list[Finding]:
        """What each comparison says of a device, with the device's own value."""
        return self.filter.findings(device, self.context)


def read_filter(actor: Actor, text: str) -> DeviceFilter:
    """What somebody wrote, or what is stored, ready to run.

    Raises `FilterError`: also for a group that is not there, which is the answer for one that the
    actor does not see.
    """
    found = parse(text, DEVICE_FIELDS)
    bound = _with_ids(actor, found)
    return DeviceFilter(bound, context_of(actor.organization_id, bound))


def context_of(organization_id: UUID, found: Filter) -> DeviceContext:
    """The time, and every group that a filter leads to. Raises `FilterError`."""
    rules: dict[UUID, GroupRule] = {}
    wanted: Collection[UUID] = group_ids_of_filter(found)
    while missing := set(wanted) - rules.keys():
        rows = DeviceGroup.objects.for_org(organization_id).filter(id__in=missing)
        fresh = {group.id: rule_of(group) for group in rows}
        _require_all(found, missing - fresh.keys())
        rules |= fresh
        wanted = {
            group_id
            for rule in fresh.values()
            if rule.filter is not None
            for group_id in group_ids_of_filter(rule.filter)
        }
    if expanded_size(found, rules) > MAX_COMPARISONS:
        text = (
            f"With its groups the filter makes more than {MAX_COMPARISONS} comparisons; it begins"
        )
        raise FilterError(1, text)
    return DeviceContext(clock.now(), rules)


def members_of(group: DeviceGroup) -> Q:
    """The devices of a smart group."""
    found = bound_by_id(parse(group.filter, DEVICE_FIELDS))
    return found.to_q(context_of(group.organization_id, found))


def rule_of(group: DeviceGroup) -> GroupRule:
    """What decides who is in a group. Raises `FilterError` for a filter that no longer reads."""
    own = parse(group.filter, DEVICE_FIELDS) if group.filter else None
    return GroupRule(group.id, group.name, group.tag, own and bound_by_id(own))


def rules_of(organization_id: UUID) -> dict[UUID, GroupRule]:
    """Every group's rule."""
    return {group.id: rule_of(group) for group in DeviceGroup.objects.for_org(organization_id)}


def group_ids_of_filter(found: Filter) -> frozenset[UUID]:
    """The groups that a filter speaks of itself, once their names were looked up."""
    return frozenset(clause.value for clause in _group_clauses(found))


def expanded_size(found: Filter, rules: Mapping[UUID, GroupRule]) -> int:
    """How many comparisons it makes with those of its groups' filters; no cycle leads to an end.

    A cycle cannot be stored; should one be there, the answer is too many.
    """
    return _Sizes(rules).of(found)


def require_no_cycle(organization_id: UUID, group_id: UUID, wanted: Filter) -> None:
    """That a group with this filter does not lead back to itself, nor makes any other too large.

    Raises `FilterError` at the comparison that leads back. For callers that hold the groups' locks.
    """
    rules = rules_of(organization_id)
    name = rules[group_id].name if group_id in rules else ""
    rules[group_id] = GroupRule(group_id, name, filter=wanted)
    for clause in _group_clauses(wanted):
        if group_id in _reachable(clause.value, rules):
            text = f'"{rules[clause.value].name}" leads back to this group'
            raise FilterError(clause.column, text, end=clause.end)
    sizes = _Sizes(rules)
    if any(sizes.of_group(each) > MAX_COMPARISONS for each in rules):
        text = (
            f"With its groups the filter makes more than {MAX_COMPARISONS} comparisons; it begins"
        )
        raise FilterError(1, text)


def _reachable(start: UUID, rules: Mapping[UUID, GroupRule]) -> set[UUID]:
    """The group and all that its filter leads to."""
    found, waiting = set[UUID](), [start]
    while waiting:
        group_id = waiting.pop()
        if group_id not in found:
            found.add(group_id)
            rule = rules[group_id].filter
            waiting += group_ids_of_filter(rule) if rule is not None else ()
    return found


class _Sizes:
    def __init__(self, rules: Mapping[UUID, GroupRule]) -> None:
        self.rules, self.known = rules, dict[UUID, int]()

    def of(self, found: Filter) -> int:
        own = sum(1 for _ in leaves(found.root))
        return own + sum(self.of_group(clause.value) for clause in _group_clauses(found))

    def of_group(self, group_id: UUID) -> int:
        if group_id not in self.known:
            self.known[group_id] = MAX_COMPARISONS  # until it is counted: a cycle ends here
            rule = self.rules[group_id].filter
            self.known[group_id] = 0 if rule is None else self.of(rule)
        return self.known[group_id]


def shown_filters(organization_id: UUID, groups: Iterable[DeviceGroup]) -> dict[UUID, str]:
    """The filters of smart groups as people read them, with names of groups, in one query."""
    filters = {group.id: parse(group.filter, DEVICE_FIELDS) for group in groups if group.filter}
    bound = {group_id: bound_by_id(found) for group_id, found in filters.items()}
    wanted = {found_id for found in bound.values() for found_id in group_ids_of_filter(found)}
    rows = DeviceGroup.objects.for_org(organization_id).filter(id__in=wanted) if wanted else ()
    names = {row.id: row.name for row in rows}
    return {group_id: str(_with_names(found, names)) for group_id, found in bound.items()}


def groups_in_sight(actor: Actor, rows: Iterable[DeviceGroup]) -> list[DeviceGroup]:
    """Those whose devices, or which themselves, the actor may see."""
    return [group for group in rows if is_in_sight(actor, group)]


def is_in_sight(actor: Actor, group: DeviceGroup) -> bool:
    """Whether the actor may see a group's devices, or the group itself."""
    place = place_of_group(group)
    return any(actor.may(p.name, place) for p in (VIEW_DEVICES, VIEW_DEVICE_GROUPS))


def bound_by_id(found: Filter) -> Filter:
    """A stored filter, whose groups are ids already. Raises `FilterError` for another one."""
    for clause in _group_clauses(found):
        if not isinstance(clause.value, UUID):
            raise _no_such_group(clause, ())
    return found


def _with_ids(actor: Actor, found: Filter) -> Filter:
    clauses = _group_clauses(found)
    if not clauses:
        return found
    texts = {clause.literal.text for clause in clauses}
    ids = {clause.value for clause in clauses if isinstance(clause.value, UUID)}
    rows = DeviceGroup.objects.for_org(actor.organization_id)
    seen = groups_in_sight(actor, rows.filter(Q(id__in=ids) | Q(name__in=texts)))
    known: dict[Any, UUID] = {group.name: group.id for group in seen}
    known |= {group.id: group.id for group in seen}

    def bound(leaf: Leaf) -> Leaf:
        if not isinstance(leaf, Clause) or leaf.field.kind is not GROUP:
            return leaf
        group_id = known.get(leaf.value)
        if group_id is None:
            raise _no_such_group(leaf, _names_in_sight(actor))
        return _about_group(leaf, str(group_id), group_id)

    return Filter(mapped(found.root, bound), found.fields)


def _with_names(found: Filter, names: Mapping[UUID, str]) -> Filter:
    def named(leaf: Leaf) -> Leaf:
        if not isinstance(leaf, Clause) or leaf.field.kind is not GROUP:
            return leaf
        return _about_group(leaf, names.get(leaf.value, str(leaf.value)), leaf.value)

    return Filter(mapped(found.root, named), found.fields)


def _about_group(clause: Clause, text: str, group_id: UUID) -> Clause:
    return Clause(
        clause.field, "", clause.operator, Literal(text), group_id, clause.column, clause.end
    )


def _names_in_sight(actor: Actor) -> list[str]:
    rows = DeviceGroup.objects.for_org(actor.organization_id).order_by("name")[:1000]
    return [group.name for group in groups_in_sight(actor, rows)]


def _require_all(found: Filter, missing: Collection[UUID]) -> None:
    if not missing:
        return
    for clause in _group_clauses(found):
        if clause.value in missing:
            raise _no_such_group(clause, ())
    raise FilterError(1, "A smart group leads to a group that is gone; the filter begins")


def _no_such_group(clause: Clause, names: Iterable[str]) -> FilterError:
    text = clause.literal.text
    found = nearest(text, names)
    problem = f'There is no device group "{text[:60]}"'
    return FilterError(clause.column, problem, quoted(found) if found else "", end=clause.end)


def _group_clauses(found: Filter) -> list[Clause]:
    return [clause for clause in found.clauses() if clause.field.kind is GROUP]
