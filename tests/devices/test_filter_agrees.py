"""What a filter's query finds is what the filter says of each device, on any fleet."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core import clock
from apps.core.actors import Actor
from apps.core.filters import parse
from apps.core.filters.lexer import quoted
from apps.core.ids import uuid7
from apps.devices.domain.states import Connectivity, Lifecycle
from apps.devices.filters import DEVICE_FIELDS
from apps.devices.models import Device, DeviceState
from apps.devices.selectors.filtering import DeviceFilter, read_filter
from apps.devices.services.groups import create_device_group
from tests import factories
from tests.devices.support import RolledBack
from tests.factories import Cast

pytestmark = pytest.mark.usefixtures("in_acme")

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TEXTS = ["", "a", "A", "web-1", "web-2", "Web*", "50%_\\'\"", "Ärger 🦊", "oslo", " ", "10.1.0.7"]
VERSIONS = ["", "1.0", "1.0.0", "v1.0.0-rc.1", "1.0.0+b", "2.3.0", "2.10.0", "r9", "r10", "ü"]
TAGS = ["lab", "site=oslo", "rare"]
MOMENTS = [None, *(NOW + timedelta(days=days) for days in (-30, -7, -6, 0, 1))]
NUMBERS = [0.0, 0.5, 0.8, 0.95, 1.0, 81.5]
SIZES: list[Any] = [None, "", 4, "4", "4294967296", "-1", "much", 2.5, True, ["4"]]
KEYS = ["site", "1", "a b", "x.y", 'q"', "ä"]

text, version, moment, number = (
    st.sampled_from(each) for each in (TEXTS, VERSIONS, MOMENTS, NUMBERS)
)


def _some(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(values)


sets = st.dictionaries(st.sampled_from(KEYS), text, max_size=3)
devices = _some(
    name=text.filter(bool),
    hostname=text,
    serial=text,
    model=text,
    architecture=text,
    os_name=text,
    os_version=version,
    kernel=version,
    agent_version=version,
    lifecycle=st.sampled_from([state.value for state in Lifecycle]),
    tags=st.lists(st.sampled_from(TAGS), unique=True, max_size=3),
    group=st.booleans(),
    created_at=moment.filter(bool),
    installed=st.dictionaries(st.sampled_from(KEYS), version, max_size=3),
    inventory=_some(
        facts=sets,
        cpu_model=text,
        memory_bytes=st.sampled_from(SIZES),
        disk_bytes=st.sampled_from(SIZES),
        cpu_count=st.sampled_from(SIZES),
    ),
)
states = _some(
    connectivity=st.sampled_from([state.value for state in Connectivity]),
    last_seen_at=moment,
    offline_at=moment,
    ip_address=text,
    cpu_ratio=number,
    memory_ratio=number,
    disk_ratio=number,
    temperature_celsius=st.none() | number,
    uptime_seconds=st.integers(0, 5),
)
values = {
    "version": st.sampled_from(VERSIONS).filter(bool).map(quoted),
    "text": st.one_of(
        st.sampled_from(TEXTS).filter(bool).map(quoted),
        st.sampled_from(["web", "A", "1"]).map(lambda each: quoted(each, is_prefix=True)),
    ),
    "number": st.sampled_from(["0.8", "80%", "0", "95%", "-1", "81.5"]),
    "size": st.sampled_from(["4", "0", "4GiB", "1KB", "3"]),
    "time": st.sampled_from(['"-7d"', "-6d", '"-24h"', '"2026-11-23"', '"2026-11-23T13:00:00+01"']),
    "words": st.sampled_from(TAGS).map(quoted),
    "keys": st.sampled_from(KEYS).map(quoted),
    "group": st.sampled_from(["acme-group", "lab-group", "smart-group"]),
    "id": st.sampled_from([str(uuid7())]),
}


def _any(draw: Any, field: Any) -> bool:
    return field.kind.name != "group" and bool(draw(st.booleans()))


@st.composite
def clauses(draw: Any) -> str:
    """One comparison that can be read."""
    field = draw(st.sampled_from(list(DEVICE_FIELDS)))
    operator = draw(st.sampled_from(field.kind.operators))
    written = field.written(draw(st.sampled_from(KEYS)))
    if field.kind.choices:
        value = draw(st.sampled_from(field.kind.choices))
    elif operator == ":" and (not field.kind.has_parts or _any(draw, field)):
        value = "*"
    else:
        value = draw(values[field.kind.name])
    if operator == ":" and value.endswith('*"') and not value.endswith('\\*"'):
        value = value.replace('*"', '"')
    return f"{written} {operator} {value}"


words = st.sampled_from(TEXTS).filter(lambda each: bool(each)).map(quoted)
filters = st.recursive(
    clauses() | words,
    lambda inner: st.one_of(
        inner.map(lambda one: f"NOT ({one})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}) AND ({two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}) OR {two[1]}"),
    ),
    max_leaves=6,
)


@pytest.fixture
def groups(acme: Cast, alice: Actor) -> None:
    """A static group, one of a tag, and a smart one that speaks of both."""
    factories.group(acme.id, "lab-group", tag="lab")
    rule = 'NOT group = "acme-group" AND (group = "lab-group" OR metrics.cpu_ratio > 50%)'
    create_device_group(alice, name="smart-group", filter=rule)


@given(st.lists(st.tuples(devices, states), max_size=6), st.lists(filters, min_size=4, max_size=8))
@settings(max_examples=70, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_the_query_and_the_evaluator_agree(
    acme: Cast, alice: Actor, groups: None, fleet: list[tuple[Any, Any]], texts: list[str]
) -> None:
    try:
        with transaction.atomic():
            _create(acme, fleet)
            everything = list(_devices(acme))
            for text in texts:
                found = _at(read_filter(alice, text))
                by_query = {device.id for device in _devices(acme).filter(found.q())}
                assert by_query == {d.id for d in everything if found.matches(d)}, text
            raise RolledBack
    except RolledBack:
        pass


@given(filters)
@settings(max_examples=150, deadline=None, database=None)
def test_a_printed_filter_reads_back_as_itself(text: str) -> None:
    found = parse(text, DEVICE_FIELDS)
    assert parse(str(found), DEVICE_FIELDS) == found
    assert str(parse(str(found), DEVICE_FIELDS)) == str(found)


def _at(found: DeviceFilter) -> DeviceFilter:
    """The filter as it is asked at a fixed time."""
    context = type(found.context)(NOW, found.context.groups)
    return DeviceFilter(found.filter, context)


def _devices(acme: Cast) -> Any:
    return Device.objects.for_org(acme.id).select_related("state")


def _create(acme: Cast, fleet: list[tuple[Any, Any]]) -> None:
    made, live = [], []
    for values, state in fleet:
        own = {name: value for name, value in values.items() if name != "group"}
        group_ids = [acme.group.id] if values["group"] else []
        device = Device(
            organization_id=acme.id, hardware_id=str(uuid7()), group_ids=group_ids, **own
        )
        made.append(device)
        live.append(DeviceState(organization_id=acme.id, device=device, **state))
    Device.objects.for_org(acme.id).bulk_create(made)
    DeviceState.objects.for_org(acme.id).bulk_create(live)


def test_the_time_of_a_filter_is_now(acme: Cast, alice: Actor) -> None:
    assert abs(read_filter(alice, "last_seen:*").context.now - clock.now()) < timedelta(minutes=1)
