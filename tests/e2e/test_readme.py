"""The README's API and CLI lines, run as they stand there."""

import os
import re
import subprocess

from playwright.sync_api import Page

from tests.architecture.source import ROOT
from tests.e2e.test_first_device import set_up
from tests.platform.runner import FleetdUp


def api_lines() -> str:
    """The shell block under "API and CLI", without the line that sets server and key."""
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"## API and CLI\n+```sh\n(export [^\n]+\n)(.+?)```", readme, re.DOTALL)
    assert block
    return block[2]


def test_the_lines_of_the_readme_work(page: Page, fleet: FleetdUp) -> None:
    set_up(page, fleet)
    page.goto(f"{fleet.url}/api-keys")
    page.fill("#name", "README")
    page.get_by_role("button", name="Make the key").click()
    key = page.locator("#api-key").inner_text()
    script = "set -e\n" + api_lines().replace("curl ", "curl -fsS ")
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=os.environ | {"FLEETD_SERVER": fleet.url, "FLEETD_TOKEN": key},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert '"items":[]' in done.stdout
