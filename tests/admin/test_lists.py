"""Lists: live connectivity, honest filters, and no counting of whole tables."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.core import clock
from apps.core.tenancy import tenant
from apps.devices.models import Device, DeviceGroup, DeviceState
from apps.web.admin_site import FleetdAdminSite
from tests import factories
from tests.admin.rows import Rows
from tests.factories import Cast

pytestmark = pytest.mark.django_db

DEVICES = "/admin/devices/device/"


def _silent() -> dict[str, Any]:
    """Stored as online by a gateway that died an hour ago."""
    past = clock.now() - timedelta(hours=1)
    return {
        **factories.online(),
        "last_seen_at": past,
        "offline_at": past + timedelta(minutes=3),
    }


def test_a_device_past_its_deadline_is_offline_everywhere(browser: Client, acme: Cast) -> None:
    live = factories.device(acme.id, "talking", state=factories.online())
    late = factories.device(acme.id, "silent", state=_silent())
    answer = browser.get(f"{DEVICES}live/", {"ids": f"{live.id},{late.id}"}).json()
    states = {d["id"]: d["connectivity"] for d in answer["devices"]}
    assert states == {str(live.id): "online", str(late.id): "offline"}
    for wanted, name in (("online", "talking"), ("offline", "silent")):
        rows = browser.get(DEVICES, {"connectivity": wanted}).context["cl"].result_list
        assert [device.name for device in rows] == [name]


def test_the_list_says_each_state_in_a_word_and_carries_its_live_address(
    browser: Client, acme: Cast
) -> None:
    device = factories.device(acme.id, "talking", state=factories.online())
    page = browser.get(DEVICES).content.decode()
    assert f'data-device="{device.id}" data-cell="connectivity"' in page
    assert f'data-topic="org.{acme.id}.devices"' in page
    assert "Online" in page
    assert "Never seen" in page


def test_the_live_state_asks_the_database_once(browser: Client, acme: Cast) -> None:
    many = [factories.device(acme.id, state=factories.online()) for _ in range(20)]
    ids = ",".join(str(device.id) for device in many)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert len(browser.get(f"{DEVICES}live/", {"ids": ids}).json()["devices"]) == 20
    assert len([q for q in queries if 'FROM "devices_device" ' in q["sql"]]) == 1


@pytest.mark.parametrize("ids", ["", "nonsense", "%00", ",,,", "1," * 1000])
def test_the_live_state_survives_nonsense(ids: str, browser: Client, acme: Cast) -> None:
    assert browser.get(f"{DEVICES}live/", {"ids": ids}).json() == {"devices": []}


def test_the_number_of_queries_does_not_grow_with_the_list(browser: Client, acme: Cast) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(DEVICES).status_code == 200
        # Only what the list reads: whether the person is still welcome is looked at every few
        # seconds, not by each page.
        return len([q for q in queries if "devices_" in q["sql"]])

    few = count()
    for _ in range(30):
        factories.device(acme.id, state=factories.online())
    assert count() == few


def test_no_more_than_the_limit_is_counted(
    browser: Client, acme: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.core.org_admin.lists.COUNTED_ROWS", 1)
    with CaptureQueriesContext(connection) as queries:
        page = browser.get(DEVICES)
    counts = [q["sql"] for q in queries if "COUNT(" in q["sql"] and "devices_device" in q["sql"]]
    assert len(counts) == 1
    assert "LIMIT 2" in counts[0]
    assert "the first 1 devices" in page.content.decode()


def test_links_to_related_lists_lead_to_the_rows_of_the_object(
    site: FleetdAdminSite, browser: Client, acme_rows: Rows
) -> None:
    followed = 0
    for model, row in acme_rows.made.items():
        if not site.is_registered(model):
            continue
        page = browser.get(
            f"/admin/{model._meta.app_label}/{model._meta.model_name}/{row.pk}/change/"
        )
        for name, address in page.context["related_lists"]:
            followed += 1
            found = browser.get(address)
            assert found.status_code == 200, (model, name)
            expected = 0 if model is DeviceGroup else 1  # it follows a tag that no device has
            assert found.context["cl"].result_count == expected, (model, name)
    assert followed >= 9


def test_an_empty_list_says_so(browser: Client, acme: Cast) -> None:
    assert "There are no artifacts yet." in browser.get("/admin/updates/artifact/").content.decode()
    page = browser.get(DEVICES, {"q": "nothing like this"}).content.decode()
    assert "No devices match." in page


def test_a_device_without_state_was_never_seen(browser: Client, acme: Cast) -> None:
    with tenant(acme.id):
        DeviceState.objects.for_org(acme.id).filter(device=acme.device).delete()
        assert Device.objects.for_org(acme.id).count() == 2
    assert browser.get(DEVICES).status_code == 200
    assert browser.get(f"{DEVICES}{acme.device.id}/change/").status_code == 200
