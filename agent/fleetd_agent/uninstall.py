"""`fleetd-agent uninstall`: stops the service, tells the platform, removes the agent's files."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fleetd_agent.places import Places, Problem
from fleetd_agent.plan import AGENT

UNIT = Path("/etc/systemd/system/fleetd-agent.service")
COMMAND = Path("/usr/local/bin/fleetd-agent")
INSTALLED = Path("/opt/fleetd-agent")
FAREWELL_SECONDS = 10.0
KEYS = ("identity.json", "enrollment.json")


def uninstall(places: Places, *, is_purge: bool) -> Iterator[str]:
    """Does it, and says line by line what was done. Files that releases installed stay."""
    yield from _stop_service(places)
    if places.is_running():
        raise Problem("the agent is still running: stop it first")
    if _say_farewell(places):
        yield "told the platform"
    else:
        yield "could not tell the platform: it will show the device as offline"
    yield from _remove_state(places, is_purge=is_purge)
    yield from _remove_program()


def _stop_service(places: Places) -> Iterator[str]:
    systemctl = shutil.which("systemctl")
    # Only the service's own files end the service: an agent run by hand is not it.
    if not UNIT.exists() or not systemctl or os.geteuid() != 0:
        return
    subprocess.run([systemctl, "disable", "--now", UNIT.name], check=False)  # noqa: S603
    UNIT.unlink(missing_ok=True)
    subprocess.run([systemctl, "daemon-reload"], check=False)  # noqa: S603
    yield f"stopped and removed {UNIT}"


def _say_farewell(places: Places) -> bool:
    from fleetd_agent.agent import Agent
    from fleetd_agent.places import read_configuration

    async def connect_once() -> bool:
        agent = Agent(places, read_configuration())
        with places.hold():
            return await agent.say_farewell(FAREWELL_SECONDS)

    with suppress(Problem, OSError, ValueError):
        return asyncio.run(connect_once())
    return False


def _remove_state(places: Places, *, is_purge: bool) -> Iterator[str]:
    if not places.state.exists():
        return
    for path in sorted(places.state.iterdir()):
        if path.name == "slots":
            yield from _remove_slots(path)
        elif path.name in KEYS and not is_purge:
            yield f"kept {path} (remove it with --purge)"
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            yield f"removed {path}"
        else:
            path.unlink()
            yield f"removed {path}"
    if is_purge and not any(places.state.iterdir()):
        places.state.rmdir()
        yield f"removed {places.state}"


def _remove_slots(folder: Path) -> Iterator[str]:
    agent = folder / AGENT
    if agent.exists():
        shutil.rmtree(agent)
        yield f"removed {agent}"
    if any(folder.iterdir()):
        yield f"kept {folder}: the machine may run from it"
    else:
        folder.rmdir()


def _remove_program() -> Iterator[str]:
    if COMMAND.is_symlink() and INSTALLED in Path(os.readlink(COMMAND)).parents:
        COMMAND.unlink()
        yield f"removed {COMMAND}"
    if INSTALLED.exists() and os.access(INSTALLED.parent, os.W_OK):
        shutil.rmtree(INSTALLED)
        yield f"removed {INSTALLED}"
