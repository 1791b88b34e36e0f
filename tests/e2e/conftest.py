"""A real platform, a real agent and this machine's Chromium."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.platform.runner import FleetdUp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EMAIL, PASSWORD, ORGANIZATION = "ann@example.test", "correct horse battery 9", "Northwind"


class Agent:
    """The real agent as its own process, with a state directory of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.environment = os.environ | {"FLEETD_AGENT_STATE_DIR": str(state)}
        self.command = [sys.executable, "-m", "fleetd_agent"]
        self.process: subprocess.Popen[bytes] | None = None

    def enroll(self, server: str, token: str) -> None:
        """Joins the platform."""
        subprocess.run(
            [*self.command, "enroll", "--server", server, "--token", token],
            env=self.environment,
            check=True,
            timeout=60,
        )

    def run(self) -> None:
        """Starts the agent."""
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state.parent / f"{self.state.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "run"], env=self.environment, stdout=log, stderr=log
            )

    def signal(self, number: signal.Signals) -> None:
        """Sends the agent a signal."""
        assert self.process
        self.process.send_signal(number)

    def stop(self) -> None:
        """Ends the agent, frozen or not."""
        if self.process:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """This machine's Chromium, headless."""
    if CHROMIUM is None:
        pytest.exit("Browser tests need Chromium: apt-get install chromium", returncode=2)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh tab; the test fails on any script error or refused content."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    tab = context.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on(
        "console",
        lambda m: errors.append(m.text) if "Content Security Policy" in m.text else None,
    )
    yield tab
    context.close()
    assert errors == []


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent that is stopped at the end, whatever happened."""
    one = Agent(tmp_path / "agent")
    yield one
    one.stop()


@pytest.fixture
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetdUp]:
    """An empty platform that expects heartbeats every second."""
    data = tmp_path_factory.mktemp("e2e") / "var"
    running = FleetdUp(data, FLEETD_HEARTBEAT_SECONDS="1").start()
    yield running
    running.stop()
