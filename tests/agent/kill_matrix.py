"""Runs the real engine and kills it (SIGKILL to itself) at every change it makes to the machine.

Started as a process by test_survive_kill.py: `kill_matrix.py FOLDER FILES_URL SCENARIO`. For N = 1,
2, … a forked child runs the deployment and is killed right before its N-th change of the file
system or start of a command; a second child then goes on from the journal. Prints one JSON line
per N with what the machine looks like afterwards; ends with the first N that is never reached.
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleetd_agent.journal import FileJournal
from fleetd_agent.messages import Component, Hook, Offer
from fleetd_agent.policy import Bundle, InstallPolicy

from tests.agent.support import deploy, engine_on

DEPLOYMENT = "0199a0b0-0000-7000-8000-000000000001"
FAILING = "/bin/false"
SEQUENTIAL = InstallPolicy(bundle=Bundle.SEQUENTIAL)
CHANGES = ("replace", "link", "symlink", "unlink", "mkdir")
NEW = {"config": b"new config", "binary": b"new binary", "firmware": b"new image"}
SCRIPT = b"#!/bin/sh\necho script >> $(dirname $0)/../../../log\n"


def component(
    folder: Path, url: str, name: str, kind: str, content: bytes, **more: Any
) -> Component:
    """A component served by the test's file server, with hooks that leave a line in a log."""

    def hook(what: str) -> Hook:
        return Hook(("/bin/sh", "-c", f"echo {name}-{what} >> {folder}/log"), 10)

    digest = hashlib.sha256(content).hexdigest()
    hooks = {what: hook(what) for what in ("before", "after", "verify", "roll_back")}
    options = {**hooks, **more}
    return Component(name, "2", kind, digest, len(content), f"{url}/{digest}", **options)


def offer_in(folder: Path, url: str, scenario: str) -> Offer:
    """A bundle with one component of each kind."""
    verify = Hook((FAILING,) if scenario == "bad" else ("/bin/true",), 10)
    return Offer(
        DEPLOYMENT,
        "bundle",
        "2",
        (
            component(folder, url, "config", "config", NEW["config"], target=f"{folder}/etc/app"),
            component(
                folder, url, "binary", "binary", NEW["binary"], target=f"{folder}/new/bin/app"
            ),
            component(folder, url, "image", "firmware", NEW["firmware"], target="main"),
            component(folder, url, "script", "script", SCRIPT, verify=verify),
        ),
        policy=SEQUENTIAL if scenario == "sequential" else None,
    )


def prepare(folder: Path) -> None:
    """A machine with an old config file and old firmware in slot b."""
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/app").write_bytes(b"old config")
    slot = folder / "state/slots/main"
    (slot / "b").mkdir(parents=True)
    (slot / "b/image").write_bytes(b"old image")
    os.symlink("b", slot / "active")


def kill_before_change(number: int) -> None:
    """Arms the trap: the process dies right before its `number`-th change."""
    left = number

    def trap(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if args[0] == FAILING:
                Path(os.environ["COUNT_FILE"]).write_text(str(number - left))
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return call

    for name in CHANGES:
        setattr(os, name, trap(getattr(os, name)))
    asyncio.create_subprocess_exec = trap(asyncio.create_subprocess_exec)


def run_child(folder: Path, offer: Offer, kill_at: int) -> int:
    """The wait status of a forked child that runs the deployment."""
    child = os.fork()
    if child == 0:
        if kill_at:
            kill_before_change(kill_at)
        asyncio.run(deploy(engine_on(folder / "state"), offer))
        os._exit(0)
    return os.waitpid(child, 0)[1]


def look(folder: Path) -> dict[str, Any]:
    """What the machine looks like now."""

    def read(path: Path) -> str | None:
        return path.read_text() if path.exists() else None

    report = FileJournal(folder / "state").load().finished[DEPLOYMENT]
    strays = [str(p) for p in folder.rglob(".*") if p.name.startswith((".fleetd", ".image"))]
    downloads = folder / "state/downloads"
    return {
        "step": report.step,
        "reason": report.reason_code,
        "message": report.message,
        "config": read(folder / "etc/app"),
        "binary": read(folder / "new/bin/app"),
        "has_new_folder": (folder / "new").exists(),
        "image": read(folder / "state/slots/main/active/image"),
        "log": (read(folder / "log") or "").split(),
        "strays": strays + [str(p) for p in downloads.glob("*")],
    }


def first_instant(root: Path, url: str, scenario: str) -> int:
    """Where to begin: up to the failing verification, "bad" does nothing that "good" does not."""
    if scenario != "bad":
        return 0
    os.environ["COUNT_FILE"] = str(root / "count")
    prepare(root / "0")
    run_child(root / "0", offer_in(root / "0", url, scenario), 1_000_000)
    return int((root / "count").read_text()) - 3


def main(root: Path, url: str, scenario: str) -> None:
    """Walks through all the instants."""
    number = first_instant(root, url, scenario)
    while True:
        number += 3 if scenario == "sequential" else 1  # a sample is enough for the second order
        folder = root / str(number)
        prepare(folder)
        offer = offer_in(folder, url, scenario)
        is_killed = os.WIFSIGNALED(run_child(folder, offer, number))
        if is_killed:
            run_child(folder, offer, 0)
        print(json.dumps({"n": number, "is_killed": is_killed, **look(folder)}))  # noqa: T201
        if not is_killed:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
