"""The admin in Chromium: live devices, hostile names, the strict policy."""

import re
import signal

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Agent
from tests.e2e.test_first_device import set_up
from tests.platform.runner import FleetdUp

expect.set_options(timeout=30_000)

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}'


@pytest.fixture(autouse=True)
def _no_script_of_theirs_runs(page: Page) -> None:
    """A hostile text that became a script would open a dialog."""
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog said {dialog.message}"))


def join(page: Page, fleet: FleetdUp, agent: Agent) -> None:
    """Makes a token in the admin and enrolls the real agent with it."""
    page.goto(f"{fleet.url}/admin/enrollment/enrollmenttoken/add/")
    page.fill("[name=name]", "from the admin")
    page.get_by_role("button", name="Save").click()
    token = page.locator("#secret").inner_text()
    agent.enroll(fleet.url, token)


def test_the_device_list_follows_a_device_without_reload(
    page: Page, fleet: FleetdUp, agent: Agent
) -> None:
    set_up(page, fleet)
    join(page, fleet, agent)
    page.goto(f"{fleet.url}/admin/devices/device/")
    page.evaluate("window.notReloaded = true")
    state = page.locator("#result_list .state")
    expect(state).to_have_text("Never seen")
    expect(page.locator("[data-freshness]")).to_have_attribute("data-state", "live")
    agent.run()
    expect(state).to_have_text("Online")
    agent.signal(signal.SIGSTOP)
    expect(state).to_have_text("Offline")
    expect(page.locator("[data-cell=connectivity]")).to_have_attribute(
        "title", re.compile("Offline since .* missed")
    )
    agent.signal(signal.SIGCONT)
    expect(state).to_have_text("Online")
    assert page.evaluate("window.notReloaded")


def test_hostile_names_are_only_text(page: Page, fleet: FleetdUp, agent: Agent) -> None:
    set_up(page, fleet)
    join(page, fleet, agent)
    devices = f"{fleet.url}/admin/devices/device/"
    page.goto(devices)
    page.locator("#result_list tbody th a").click()
    page.fill("[name=name]", HOSTILE)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    page.get_by_role("button", name="Decommission").click()
    expect(page.locator("ul.objects li")).to_have_text(HOSTILE)
    page.fill("[name=reason]", HOSTILE)
    page.fill("[name=word]", "decommission")
    page.get_by_role("button", name="Decommission").click()
    expect(page.locator(".messagelist")).to_contain_text("1 done")
    page.get_by_role("button", name="History").or_(page.get_by_role("link", name="History")).click()
    expect(page.locator("#change-history")).to_contain_text(HOSTILE)
    page.goto(devices)
    page.locator("[name=_selected_action]").check()
    page.select_option("[name=action]", "quarantine_device")
    page.get_by_role("button", name="Go", exact=True).click()
    page.get_by_role("button", name="Quarantine").click()
    expect(page.locator(".messagelist .error")).to_contain_text(HOSTILE)


def test_every_page_of_the_admin_obeys_the_policy(page: Page, fleet: FleetdUp) -> None:
    set_up(page, fleet)
    page.goto(f"{fleet.url}/admin/")
    links = page.locator("#content-main a").evaluate_all("all => all.map((a) => a.href)")
    addresses = sorted(set(links))
    assert len(addresses) >= 20
    for address in addresses:
        response = page.goto(address)
        assert response
        assert response.status == 200, address
        policy = response.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
