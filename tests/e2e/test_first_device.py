"""The journey of a new user: set up, enroll this machine, watch it, ship files to it."""

import re
import signal
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.conftest import EMAIL, ORGANIZATION, PASSWORD, Agent
from tests.platform.runner import FleetdUp

expect.set_options(timeout=30_000)


def set_up(page: Page, fleet: FleetdUp) -> None:
    """Makes the first account with the code that the server printed."""
    link = re.search(r"http://\S+/setup\?code=\w+", fleet.output)
    assert link, fleet.output
    page.goto(link[0])
    page.fill("#email", EMAIL)
    page.fill("#password", PASSWORD)
    page.fill("#organization", ORGANIZATION)
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_text(EMAIL).first).to_be_visible()


def add_this_machine(page: Page, fleet: FleetdUp, agent: Agent) -> None:
    """Enrolls the real agent and watches it arrive without reloading the page."""
    page.goto(f"{fleet.url}/devices/add")
    page.get_by_role("button", name="Make the command").click()
    command = page.locator("#content, main").first.inner_text()
    token = re.search(r"fld_enr_\w+", command)
    assert token, command
    agent.enroll(fleet.url, token[0])
    expect(page.get_by_text("The key was accepted")).to_be_visible()
    agent.run()
    expect(page.locator('[data-step="done"]')).to_have_count(6)
    page.locator("#waiting .panel-foot a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Online")


def upload(page: Page, fleet: FleetdUp, name: str, content: str) -> None:
    """Stores one artifact through the upload page."""
    page.goto(f"{fleet.url}/artifacts/upload")
    page.set_input_files(
        "#file", {"name": name, "mimeType": "text/plain", "buffer": content.encode()}
    )
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("row").filter(has_text=name)).to_be_visible()


def make_release(page: Page, fleet: FleetdUp, version: str, components: list[dict]) -> None:
    """Makes a release of uploaded artifacts; each component gives the form's fields."""
    page.goto(f"{fleet.url}/releases/new")
    page.fill("#name", "probe")
    page.fill("#version", version)
    for number, component in enumerate(components):
        if number:
            page.get_by_role("button", name="Another component").click()
        row = page.locator("#components fieldset").nth(number)
        row.get_by_label("Name").fill(component["name"])
        row.get_by_label("Kind").select_option(component["kind"])
        option = row.locator("option", has_text=component["artifact"]).get_attribute("value")
        row.get_by_label("Artifact").select_option(option)
        row.get_by_label("Installed to").fill(component.get("target", ""))
        row.get_by_label("Verify with").fill(component.get("verify", ""))
    page.get_by_role("button", name="Make the release").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(version)


def roll_out(page: Page, fleet: FleetdUp, version: str) -> None:
    """Makes a rollout of the release to every device and starts it."""
    page.goto(f"{fleet.url}/rollouts/new")
    page.fill("#name", f"probe {version} everywhere")
    option = page.locator("#release option", has_text=version).get_attribute("value")
    page.select_option("#release", option)
    page.get_by_role("button", name="Review").click()
    page.get_by_role("button", name="Start…").click()
    page.get_by_role("dialog").get_by_role("button", name="Start").click()


def test_a_real_device_is_enrolled_watched_updated_and_missed(
    page: Page, fleet: FleetdUp, agent: Agent, tmp_path: Path
) -> None:
    config, marker = tmp_path / "probe.conf", tmp_path / "ran"
    set_up(page, fleet)
    add_this_machine(page, fleet, agent)
    device_url = page.url

    upload(page, fleet, "probe.conf", "rate = 5\n")
    upload(page, fleet, "probe.sh", f"#!/bin/sh\necho once >> {marker}\n")
    good = [
        {"name": "conf", "kind": "config", "artifact": "probe.conf", "target": str(config)},
        {"name": "script", "kind": "script", "artifact": "probe.sh"},
    ]
    make_release(page, fleet, "1.0.0", good)
    roll_out(page, fleet, "1.0.0")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Completed")
    assert config.read_text() == "rate = 5\n"
    assert marker.read_text() == "once\n"

    upload(page, fleet, "bad.conf", "rate = 9000\n")
    bad = {"name": "conf", "kind": "config", "artifact": "bad.conf", "target": str(config)}
    make_release(page, fleet, "2.0.0", [{**bad, "verify": "/bin/sh -c 'echo too fast; exit 1'"}])
    roll_out(page, fleet, "2.0.0")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Halted")
    expect(page.locator("#rollout")).to_contain_text("too fast")
    assert config.read_text() == "rate = 5\n"

    page.goto(device_url)
    agent.signal(signal.SIGSTOP)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Offline")
    expect(page.locator("main")).to_contain_text("missed")
