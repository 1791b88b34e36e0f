"""Finding devices."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache

from apps.core import clock
from apps.core.actors import Actor, system_actor
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.pagination import PageRequest
from apps.devices.domain.states import Lifecycle
from apps.devices.selectors import (
    count_devices,
    get_device,
    list_devices,
    resolve_target,
    sweep_stamp,
)
from apps.devices.services.live import sweep_offline
from tests import factories
from tests.factories import Cast

pytestmark = pytest.mark.usefixtures("in_acme")


def names(actor: Actor, **filters: Any) -> list[str]:
    return [d.name for d in list_devices(actor, PageRequest(), **filters).items]


def test_devices_are_listed_by_name_with_their_state(acme: Cast, bob: Actor) -> None:
    page = list_devices(bob, PageRequest())
    assert [d.name for d in page.items] == ["acme-one", "acme-two"]
    assert page.items[0].state.connectivity == "never_seen"
    assert page.next_page_token == ""


def test_a_page_costs_one_query(
    acme: Cast, bob: Actor, django_assert_num_queries: Callable[[int], Any]
) -> None:
    with django_assert_num_queries(1):
        [d.state.connectivity for d in list_devices(bob, PageRequest()).items]


def test_pages_join_without_gap_though_names_repeat(acme: Cast, bob: Actor) -> None:
    for _ in range(5):
        factories.device(acme.id, "same name")
    seen: list[Any] = []
    token = ""
    while True:
        page = list_devices(bob, PageRequest(2, token))
        seen += [d.id for d in page.items]
        if not (token := page.next_page_token):
            break
    assert len(seen) == len(set(seen)) == 7


def test_filters_narrow(acme: Cast, bob: Actor) -> None:
    factories.device(acme.id, "tagged", tags=["a", "b"])
    factories.device(acme.id, "waiting", lifecycle=Lifecycle.PENDING)
    factories.device(acme.id, "here", state=factories.online())
    assert names(bob, tag="A") == ["tagged"]
    assert names(bob, lifecycle="pending") == ["waiting"]
    assert names(bob, connectivity="online") == ["here"]
    assert names(bob, connectivity="offline") == []
    assert names(bob, group_id=acme.group.id) == ["acme-one"]
    assert names(bob, tag="a", lifecycle="pending") == []


def test_a_passed_deadline_counts_as_offline_before_any_sweep(acme: Cast, bob: Actor) -> None:
    factories.device(acme.id, "silent", state=factories.online(heartbeat_seconds=10))
    with time_machine.travel(clock.now() + timedelta(seconds=31), tick=False):
        assert names(bob, connectivity="online") == []
        assert names(bob, connectivity="offline") == ["silent"]


@pytest.mark.parametrize("field", ["name", "hostname", "serial", "hardware_id"])
def test_search_finds_part_of_what_names_a_device(acme: Cast, bob: Actor, field: str) -> None:
    values = {"name": "plain", field: "Pump%77"}
    found = factories.device(acme.id, **values)
    assert names(bob, search="pUMP%7") == [found.name]
    assert names(bob, search="pump_7") == []


@pytest.mark.parametrize(
    "filters",
    [{"lifecycle": "gone"}, {"connectivity": "maybe"}, {"search": "\x00"}, {"tag": "\x00"}],
)
def test_values_that_do_not_exist_are_refused(bob: Actor, filters: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        names(bob, **filters)


def test_devices_of_another_organization_are_nowhere(globex: Cast, bob: Actor) -> None:
    assert names(bob, search="globex") == []
    for device_id in (globex.device.id, uuid7()):
        with pytest.raises(NotFound):
            get_device(bob, device_id)


def test_one_needs_the_right(acme: Cast, bob: Actor) -> None:
    nobody = bob.narrowed(frozenset())
    for attempt in (
        lambda: names(nobody),
        lambda: get_device(nobody, acme.device.id),
        lambda: count_devices(nobody),
        lambda: resolve_target(nobody),
    ):
        with pytest.raises(PermissionDenied):
            attempt()


def test_totals_are_read_not_counted(
    acme: Cast,
    bob: Actor,
    redis_url: str,
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    cache.set(sweep_stamp(acme.id), 1, timeout=15)
    with django_assert_num_queries(1):
        counts = count_devices(bob)
    assert counts["active", "never_seen"] == 2


def test_totals_honour_deadlines_where_nobody_swept(acme: Cast, bob: Actor, redis_url: str) -> None:
    cache.delete(sweep_stamp(acme.id))
    factories.device(acme.id, state=factories.online(heartbeat_seconds=10))
    assert count_devices(bob)["active", "online"] == 1
    with time_machine.travel(clock.now() + timedelta(seconds=31), tick=False):
        for _ in range(2):  # the second time after a sweep: the same
            counts = count_devices(bob)
            assert (counts["active", "online"], counts["active", "offline"]) == (0, 1)
            sweep_offline(system_actor(acme.id))


def test_a_target_is_a_union_of_active_devices(acme: Cast, globex: Cast, bob: Actor) -> None:
    factories.device(acme.id, "tagged", tags=["a"])
    factories.device(acme.id, "tagged-waiting", tags=["a"], lifecycle=Lifecycle.PENDING)
    by_tag = factories.group(acme.id, "by-tag", tag="a")

    def target(**parts: Any) -> list[str]:
        rows = resolve_target(bob, **parts).order_by("name")
        return list(rows.values_list("name", flat=True))

    assert target() == ["acme-one", "acme-two", "tagged"]
    assert target(device_ids=[acme.devices[1].id]) == ["acme-two"]
    assert target(tags=["a"]) == ["tagged"]
    assert target(group_ids=[by_tag.id]) == ["tagged"]
    assert target(group_ids=[acme.group.id], tags=["a"]) == ["acme-one", "tagged"]
    for foreign in ({"device_ids": [globex.device.id]}, {"group_ids": [globex.group.id]}):
        with pytest.raises(NotFound):
            target(**foreign)
