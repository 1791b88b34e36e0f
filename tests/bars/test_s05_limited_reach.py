"""S05, within one organization: nothing shows that there are objects out of reach.

Given lists, search, filters, counters, dashboard totals, pickers, admin lists and autocomplete as
mia sees them, who is in one team, when 50 objects with a marker in their names appear out of her
reach, then no answer to her contains the marker or a changed count.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from apps.core.tenancy import tenant
from apps.enrollment.services.tokens import create_enrollment_token
from apps.organizations.services.authentication import forget_callers
from apps.updates.types import Target
from tests import factories
from tests.doors.limited import Limited, make_limited
from tests.rest.conftest import Api
from tests.updates.conftest import make_rollout

MARK = "zebra"
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
OBJECTS = 50
REST = (
    *("devices", f"devices?search={MARK}", f"devices?tag={MARK}", "devices?page_size=1"),
    *("devices?lifecycle=active", "devices?connectivity=online", "device-groups"),
    *("enrollment-tokens", "rollouts", "rollouts?state=draft", "deployments", "releases"),
)
PAGES = (
    *("/", "/?fragment=body", "/devices", f"/devices?q={MARK}", f"/devices?tag={MARK}"),
    *("/devices?lifecycle=pending", "/device-groups", "/enrollment-tokens", "/rollouts"),
    *("/rollouts?state=draft", "/devices/add", "/devices/add?many=1", "/admin/"),
    *("/admin/devices/device/", f"/admin/devices/device/?q={MARK}", "/admin/devices/devicegroup/"),
    *("/admin/devices/devicestate/", "/admin/devices/groupmember/", "/admin/updates/rollout/"),
    *("/admin/updates/phase/", "/admin/updates/rolloutevent/", "/admin/updates/deployment/"),
    *("/admin/enrollment/enrollmenttoken/", "/admin/enrollment/enrollment/"),
    *("/admin/enrollment/certificate/", "/admin/enrollment/enrollmenttoken/add/"),
    "/admin/autocomplete/?app_label=updates&model_name=deployment&field_name=device&term=d",
)
# What differs from one answer to the next by itself.
CHANGING = (
    r'name="csrfmiddlewaretoken" value="[^"]*"',
    r'nonce="[^"]*"',
    r"<time.*?</time>",
    r'"connectivity_reason":"[^"]*"',
    r"(hx-headers|data-csrf)='[^']*'",
    r"req_[0-9a-f]+",
)


@pytest.fixture
def world(db: None, settings: Any, tmp_path: Path) -> Limited:
    """Acme with two teams."""
    forget_callers()
    return make_limited(settings, tmp_path)


def add_out_of_reach(world: Limited) -> None:
    """Fifty devices of the other team and of nobody, and groups, tokens and rollouts for them."""
    own, owner = world.organization_id, world.actor("oona")
    g2 = world.groups["g2"].id
    for number in range(OBJECTS):
        tags = ["two", MARK] if number % 2 else [MARK]
        factories.device(
            own,
            f"{MARK}-{number:02}",
            tags=tags,
            state=factories.online(),
            installed={MARK: "9.9"},
            hostname=f"{MARK}-host",
        )
        factories.group(own, f"{MARK}-group-{number}")
    with tenant(own):
        assert world.release is not None
        for number in range(5):
            create_enrollment_token(owner, name=f"{MARK}-{number}", group_ids=[g2])
            target = Target(group_ids=(g2, world.groups["g1"].id)) if number else Target()
            make_rollout(owner, world.release, name=f"{MARK}-{number}", target=target)


def answers(world: Limited) -> dict[str, str]:
    """Everything that mia is told, by address, without what changes by itself."""
    cache.clear()
    api, client = Api(factories.api_key(world.people["mia"])), Client()
    client.force_login(world.people["mia"].user, backend=BACKEND)
    found = {path: _text(api.get(path)) for path in REST}
    group_id, rollout_id = world.groups["g1"].id, world.rollouts["r-one"].id
    own = (
        f"/device-groups/{group_id}",
        f"/device-groups/{group_id}/candidates?q={MARK}",
        f"/devices/{world.devices['d-one'].id}",
        f"/rollouts/{rollout_id}",
        f"/admin/devices/devicegroup/{group_id}/change/",
        f"/admin/devices/device/{world.devices['d-one'].id}/change/",
        f"/admin/updates/rollout/{rollout_id}/change/",
    )
    return found | {address: _text(client.get(address)) for address in (*PAGES, *own)}


def _text(response: Any) -> str:
    assert response.status_code in (200, 403), response
    text = response.content.decode()
    for pattern in CHANGING:
        text = re.sub(pattern, "", text, flags=re.DOTALL)
    return text


def test_s05_nothing_out_of_reach_shows_in_any_list_search_or_count(world: Limited) -> None:
    before = answers(world)
    add_out_of_reach(world)
    after = answers(world)
    shown = {
        address for address, text in after.items() if MARK in text.replace(_asked(address), "")
    }
    assert not shown
    assert [address for address in after if after[address] != before[address]] == []


def _asked(address: str) -> str:
    """Where the page repeats what was searched for."""
    return MARK if f"={MARK}" in address else "\0"


def test_s05_the_same_objects_show_to_those_who_see_all(world: Limited) -> None:
    """The addresses above would tell: they do to a viewer of the organization."""
    add_out_of_reach(world)
    cache.clear()
    client = Client()
    client.force_login(world.people["ivan"].user, backend=BACKEND)
    for address in ("/", "/devices", "/device-groups", "/rollouts", "/admin/devices/device/"):
        assert MARK in client.get(address).content.decode(), address
