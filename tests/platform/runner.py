"""Runs the real `fleetd up` on free ports and looks at its processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from fleetd.settings.layout import DataLayout

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120
STOP_SECONDS = 40


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> object:
    """The first true answer of `condition`, asked until the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class FleetdUp:
    """One `fleetd up` (or another command) with a data directory of its own."""

    def __init__(self, data: Path, *, command: str = "up", **changes: str) -> None:
        self.layout = DataLayout(data)
        web, grpc, agent = free_ports(3)
        self.url = f"http://127.0.0.1:{web}"
        self.grpc_address, self.agent_address = f"127.0.0.1:{grpc}", f"127.0.0.1:{agent}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLEETD_", "DJANGO_"))}
        self.environment = kept | {
            "FLEETD_DATA_DIR": str(data),
            "FLEETD_WEB_LISTEN": f"127.0.0.1:{web}",
            "FLEETD_GRPC_LISTEN": self.grpc_address,
            "FLEETD_AGENT_LISTEN": self.agent_address,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'agent'}",
            **changes,
        }
        self.command = [sys.executable, "-m", "fleetd.cli", *command.split()]
        self.output_path = data.parent / f"{data.name}-console"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """What the console shows."""
        return self.output_path.read_text() if self.output_path.exists() else ""

    def start(self, **options: object) -> "FleetdUp":
        """Starts and waits until everything serves."""
        self.launch(**options)
        wait_for(lambda: "fleetd is up" in self.output or self.has_ended, START_SECONDS, "up")
        assert not self.has_ended, self.output
        return self

    def launch(self, **options: object) -> None:
        """Starts without waiting."""
        self.output_path.unlink(missing_ok=True)
        with self.output_path.open("wb") as output:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )

    @property
    def has_ended(self) -> bool:
        """Whether the supervisor is gone."""
        return self.process is None or self.process.poll() is not None

    def end(self) -> int:
        """Waits for the supervisor's end; its exit code."""
        assert self.process
        return self.process.wait(STOP_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signals the supervisor and waits."""
        if not self.has_ended:
            self.process.send_signal(number)
        return self.end()

    def processes(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def child(self, *words: str) -> psutil.Process | None:
        """The direct child whose command line holds all of the words."""
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # it may end at any moment
                line = " ".join(child.cmdline())
                if all(word in line for word in words):
                    return child
        return None


def still_alive(processes: list[psutil.Process]) -> list[str]:
    """Those that run still, zombies aside; ids that others reuse do not count."""
    alive = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(f"{process.pid} {' '.join(process.cmdline())[:80]}")
        except psutil.NoSuchProcess:
            continue
    return alive
