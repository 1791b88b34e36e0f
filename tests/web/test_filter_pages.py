"""Filters on the pages of devices and groups."""

import pytest
from django.test import Client

from apps.core.tenancy import tenant
from apps.devices.models import DeviceGroup
from apps.organizations.models import Membership
from tests import factories
from tests.bars.audited import browser
from tests.factories import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(acme: Cast, globex: Cast, erin_member: Membership) -> Client:
    """Erin's browser; acme has a device in the lab besides."""
    factories.device(acme.id, "lab-7", tags=["lab"], inventory={"facts": {"site": "oslo"}})
    return browser(erin_member)


def rows(page: Client, **query: str) -> list[str]:
    answer = page.get("/devices", {**query, "fragment": "list"})
    assert answer.status_code == 200
    return [row.device.name for row in answer.context["page"].items]


def test_the_box_takes_filters_and_words(page: Client) -> None:
    assert rows(page, q="tags:lab AND labels.site = oslo") == ["lab-7"]
    assert rows(page, q="NOT tags:lab") == ["acme-one", "acme-two"]
    assert rows(page, q="acme-o") == ["acme-one"]
    assert rows(page, q="aa:bb:cc") == []
    assert rows(page, q="NOT tags:lab", lifecycle="pending") == []


def test_a_filter_is_shown_as_understood_and_can_become_a_group(page: Client) -> None:
    text = page.get("/devices", {"q": "tags:lab name:7"}).content.decode()
    assert "tags:&quot;lab&quot; AND name:&quot;7&quot;" in text
    assert "/device-groups?filter=tags%3Alab+name%3A7" in text
    dialog = page.get("/device-groups", {"filter": "tags:lab name:7"}).content.decode()
    assert "data-dialog-now" in dialog
    assert 'value="tags:lab name:7"' in dialog


@pytest.mark.parametrize("fragment", [{}, {"fragment": "list"}])
def test_a_wrong_filter_is_marked_where_it_is_wrong(page: Client, fragment: dict[str, str]) -> None:
    answer = page.get("/devices", {"q": 'name:a AND conectivity = "<b>"', **fragment})
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "name:a AND <mark>conectivity</mark> = &quot;&lt;b&gt;&quot;" in text
    assert "Unknown field" in text
    assert "q=name%3Aa+AND+connectivity+%3D+%22%3Cb%3E%22" in text
    assert "acme-one" not in text
    half = page.get("/devices", {"q": "name:a AND "}).content.decode()
    assert "is-unfinished" in half


@pytest.mark.parametrize(
    "text", ["(" * 10_000, "name:\x00", "NOT " * 999 + "a", '"', "\U0010ffff:"]
)
def test_no_text_breaks_a_page(page: Client, text: str) -> None:
    for path, name in (
        ("/devices", "q"),
        ("/devices/filter-words", "q"),
        ("/device-groups/preview", "filter"),
        ("/device-groups", "filter"),
    ):
        assert page.get(path, {name: text}).status_code in (200, 400), path
    assert page.post("/device-groups", {"name": "x", "filter": text}).status_code in (200, 302)


def test_what_can_follow_comes_from_the_fleet(page: Client, globex: Cast) -> None:
    def offered(text: str, **more: str) -> list[str]:
        answer = page.get("/devices/filter-words", {"q": text, **more})
        return [item["text"] for item in answer.json()["items"]]

    assert offered("labels.") == ["labels.site"]
    assert offered("labels.site = ") == ['"oslo"']
    assert offered("tags:") == ['"lab"']
    assert offered("group = ") == ['"acme-group"']
    assert offered("conn = x", at="4") == ["connectivity"]
    assert offered("conn", at="²") == ["connectivity"]


def test_a_smart_group_is_made_edited_and_kept_while_it_is_used(page: Client, acme: Cast) -> None:
    made = page.post("/device-groups", {"name": "lab", "filter": "tags:lab"})
    address = made["Location"]
    assert "All devices that match" in page.get(address).content.decode()
    assert [row.device.name for row in page.get(address).context["page"].items] == ["lab-7"]
    group_id = address.rsplit("/", 1)[1]
    seen = page.get("/device-groups/preview", {"filter": "name:acme", "id": group_id})
    text = seen.content.decode()
    assert "2 would enter, 1 would leave" in text
    assert "acme-one, acme-two" in text
    page.post(f"{address}/update", {"name": "rest", "filter": 'NOT group = "acme-group"'})
    assert [row.device.name for row in page.get(address).context["page"].items] == [
        "acme-two",
        "lab-7",
    ]
    used = page.post(f"/device-groups/{acme.group.id}/delete", follow=True)
    assert "The filters of these groups speak of it: rest." in used.content.decode()
    with tenant(acme.id):
        assert DeviceGroup.objects.for_org(acme.id).filter(id=acme.group.id).exists()
    renamed = page.post(f"/device-groups/{acme.group.id}/update", {"name": "first"}, follow=True)
    assert "first" in renamed.content.decode()
    assert "group = &quot;first&quot;" in page.get("/device-groups").content.decode()


def test_a_refused_group_stands_in_the_dialog_again(page: Client) -> None:
    text = page.post("/device-groups", {"name": "bad", "filter": "nmae = x"}).content.decode()
    assert "data-dialog-now" in text
    assert "did you mean &quot;name&quot;?" in text
    assert 'value="nmae = x"' in text
