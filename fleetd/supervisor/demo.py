"""`fleetd demo`: the platform with an organization, a simulated fleet and a rollout in progress.

Everything is made through the product's own services by `manage.py seed_demo`, which prints one
JSON object: `organization`, `email`, `password` and `enrollment_token`, the last two only when it
made them. Called again with `--rollout N`, it waits for N devices and starts the rollout.
"""

import json
from pathlib import Path
from shlex import quote
from typing import Any

from fleetd.settings.layout import DataLayout, read_private, write_private
from fleetd.supervisor import commands
from fleetd.supervisor.platform import Platform
from fleetd.supervisor.processes import Spec, StartError

# A step of a simulated installation: slow enough that the rollout can be watched for minutes.
STEP_SECONDS = "12"


class Demo:
    """The extension of the platform that `fleetd demo` runs."""

    def __init__(self, devices: int) -> None:
        self.devices = devices

    async def prepare(self, platform: Platform) -> list[tuple[str, str]]:
        """Makes organization, administrator and enrollment token on first start."""
        email = read_private(_email_file(platform.layout))
        password = "as printed on the first start"  # noqa: S105  not one
        if email is None:
            seeded = await self._seed(platform)
            email, password = seeded["email"], seeded.get("password", password)
            if "enrollment_token" in seeded:
                write_private(_token_file(platform.layout), seeded["enrollment_token"])
            write_private(_email_file(platform.layout), email)
        return [
            ("Open", platform.external_url),
            ("Sign in as", email),
            ("Password", password),
            ("Simulated", f"{self.devices} devices"),
            *_signing(platform),
        ]

    async def begin(self, platform: Platform) -> None:
        """Starts the simulated fleet, then the rollout."""
        await platform.start_service(simulator(platform, self.devices), lambda: True)
        try:
            rollout = await self._seed(platform, "--rollout", str(self.devices))
        except StartError as error:
            platform.console.event("rollout", f"not started: {error}")
            return
        page = f"{platform.external_url}/rollouts/{rollout['rollout_id']}"
        platform.console.event("rollout", f"{rollout['state']}: {page}")

    async def _seed(self, platform: Platform, *arguments: str) -> dict[str, Any]:
        manage = str(commands.ROOT / "manage.py")
        step = commands.python("seed", platform.layout, manage, "seed_demo", *arguments)
        answer: dict[str, Any] = json.loads(await platform.run_step(step))
        return answer


def simulator(platform: Platform, devices: int) -> Spec:
    """The simulated fleet as a child. Its token travels in the environment, not in the command."""
    layout = platform.layout
    return commands.python(
        "simulator",
        layout,
        *("-m", "fleetctl.cli", "sim", "up", "--server", platform.external_url),
        *("--count", str(devices), "--state-dir", str(layout.root / "simulator")),
        *("--step-seconds", STEP_SECONDS),
        FLEETD_ENROLLMENT_TOKEN=read_private(_token_file(layout)) or "",
    )


async def run_demo(devices: int) -> int:
    """Runs the platform with the demonstration on it."""
    return await Platform().run(Demo(devices))


def _signing(platform: Platform) -> list[tuple[str, str]]:
    """Where the keys are, and how one's own release is signed; empty in the older trial mode."""
    folder = platform.layout.demo_signing
    if not (folder / "root.json").exists():
        return []
    options = f"--keys {quote(str(folder))} --passphrase-file {quote(str(folder / 'passphrase'))}"
    return [
        ("Signing keys", str(folder)),
        ("To sign", f"fleetctl login --server {platform.external_url}"),
        ("", f"fleetctl sign release NAME VERSION {options}"),
    ]


def _email_file(layout: DataLayout) -> Path:
    return layout.root / "demo-administrator"


def _token_file(layout: DataLayout) -> Path:
    return layout.secrets / "demo-enrollment-token"
