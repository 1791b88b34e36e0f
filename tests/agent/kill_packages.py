"""Kills the agent (SIGKILL to itself) around a bundle of a Debian package and a configuration file.

Started as a process by test_survive_kill.py: `kill_packages.py FOLDER FILES_URL SCENARIO`. Before
every write of the journal, and before and right after every start of dpkg itself, so that dpkg goes
on while nobody looks. A second child then goes on from the journal. Prints one JSON line for each.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleetd_agent.commands import CommandRunner
from fleetd_agent.handlers.package import PackageHandler, Root
from fleetd_agent.journal import FileJournal
from fleetd_agent.messages import Component, Hook, Offer

from tests.agent import debian
from tests.agent.support import deploy, engine_on

DEPLOYMENT = "0199a0b0-0000-7000-8000-000000000009"
# So long that a kill falls into it, and dpkg is still at work when the next agent looks.
SLOW = "sleep 0.05"
FAILING = "/bin/false"


def prepare(template: Path, packages: Path, folder: Path) -> None:
    """A machine with version 1.0 of the package, its file for going back, and an old config."""
    shutil.copytree(template, folder / "root")
    (folder / "state/packages").mkdir(parents=True)
    shutil.copy(packages / "1.0-all.deb", folder / f"state/packages/{debian.NAME}-old.deb")
    (folder / "config").write_bytes(b"old config")


def offer_in(folder: Path, url: str, digests: dict[str, tuple[str, int]], scenario: str) -> Offer:
    """The package and the configuration file; the one of "bad" does not work."""

    def part(name: str, kind: str, target: str, **more: Any) -> Component:
        digest, size = digests[kind]
        return Component(name, "2", kind, digest, size, f"{url}/{digest}", target=target, **more)

    verify = Hook((FAILING if scenario == "bad" else "/bin/true",), 10)
    return Offer(
        DEPLOYMENT,
        "bundle",
        "2",
        (
            part("app", "package", debian.NAME),
            part("config", "config", str(folder / "config"), verify=verify),
        ),
    )


def arm(number: int) -> None:
    """The process dies at its `number`-th instant."""
    left = number
    replace, start = os.replace, asyncio.create_subprocess_exec

    def pass_instant() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched_replace(source: Any, destination: Any) -> None:
        if Path(destination).name == "journal.json":
            pass_instant()
        replace(source, destination)

    async def watched_start(*words: Any, **more: Any) -> Any:
        if words[0] == FAILING:
            Path(os.environ["COUNT_FILE"]).write_text(str(number - left))
        if words[0] != "dpkg" or "--install" not in words and "--purge" not in words:
            return await start(*words, **more)
        pass_instant()
        process = await start(*words, **more)
        await asyncio.sleep(0.02)
        pass_instant()
        return process

    os.replace = watched_replace
    asyncio.create_subprocess_exec = watched_start  # type: ignore[assignment]


def run_child(folder: Path, offer: Offer, kill_at: int) -> int:
    """The wait status of a forked child that runs the deployment."""
    child = os.fork()
    if child == 0:
        if kill_at:
            arm(kill_at)
        state = folder / "state"
        handler = PackageHandler(state / "packages", CommandRunner(), Root(folder / "root"))
        asyncio.run(deploy(engine_on(state, handlers={"package": handler}), offer))
        os._exit(0)
    return os.waitpid(child, 0)[1]


def look(folder: Path) -> dict[str, Any]:
    """What the machine looks like now."""
    report = FileJournal(folder / "state").load().finished[DEPLOYMENT]
    state, version = debian.installed(folder / "root")
    return {
        "step": report.step,
        "reason": report.reason_code,
        "message": report.message,
        "package": f"{state} {version}",
        "files": (folder / "root/opt/app/version").read_text(),
        "config": (folder / "config").read_text(),
        "log": (folder / "root/log").read_text().splitlines(),
    }


def walk(root: Path, url: str, digests: Any, scenario: str, tell: Callable[[str], None]) -> None:
    """All the instants, from the first to one that is never reached."""
    template, packages = root / "template", root
    debian.make_root(template)
    debian.build(packages, "1.0")
    command = ["dpkg", *Root(template).options, "--install", str(packages / "1.0-all.deb")]
    subprocess.run(command, check=True, capture_output=True)
    # Up to its failing verification "bad" does nothing that "good" does not.
    number, is_killed = 0, True
    if scenario == "bad":
        os.environ["COUNT_FILE"] = str(root / "count")
        prepare(template, packages, root / "whole")
        run_child(root / "whole", offer_in(root / "whole", url, digests, scenario), 1_000_000)
        number = int((root / "count").read_text()) - 2
    while is_killed:
        number += 1
        folder = root / f"{scenario}-{number}"
        prepare(template, packages, folder)
        offer = offer_in(folder, url, digests, scenario)
        is_killed = os.WIFSIGNALED(run_child(folder, offer, number))
        if is_killed:
            run_child(folder, offer, 0)
        tell(json.dumps({"n": number, "is_killed": is_killed, **look(folder)}) + "\n")


if __name__ == "__main__":
    about = json.loads(sys.argv[4])
    walk(Path(sys.argv[1]), sys.argv[2], about, sys.argv[3], sys.stdout.write)
