"""Starts the version of the agent that is switched to, and goes back when a new one dies.

Part of the installed agent: it is never replaced by an update. It stays out of the way until the
first update of the agent itself (`slots/fleetd-agent/active`).
"""

import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, Any

from fleetd_agent import systemd
from fleetd_agent.files import remove_file, switch_link, write_atomic
from fleetd_agent.handlers.firmware import read_link
from fleetd_agent.handlers.self_update import SLOT_VARIABLE, TRIAL, read_trial
from fleetd_agent.messages import LOG_TAIL_CHARACTERS, clean_text
from fleetd_agent.places import default_places
from fleetd_agent.plan import AGENT

logger = logging.getLogger(__name__)

# What the agent exits with when another version is to be started.
RESTART_CODE = 79
TRIAL_SECONDS = 60.0
STARTS = 3
POLL_SECONDS = 0.1
STOP_SECONDS = 45.0
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


def has_slots(state_dir: Path) -> bool:
    """Whether this process is to start the agent of a slot instead of being the agent."""
    return SLOT_VARIABLE not in os.environ and bool(read_link(_folder(state_dir) / "active"))


def is_launched() -> bool:
    """Whether a launcher started this process."""
    return SLOT_VARIABLE in os.environ


def use_installed(state_dir: Path) -> None:
    """Lets the agent that was just installed by hand run, and not one of an earlier update."""
    remove_file(_folder(state_dir) / "active")


class Launcher:
    """Runs one agent at a time, until it ends for good."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = _folder(state_dir)
        self._child: subprocess.Popen[bytes] | None = None
        self._is_stopping = False
        self._tail: deque[bytes] = deque(maxlen=400)

    def run(self) -> int:
        """The exit code of the agent that ended last."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._forward)
        while True:
            self._begin_trial(read_link(self._folder / "active"))
            slot = read_link(self._folder / "active")
            child, reader = self._start(slot)
            code = self._watch(child, slot)
            reader.join(1.0)
            if self._is_stopping:
                return code
            if self._is_on_trial(slot):
                self._go_back(slot, f"it ended with {_how(code)}")
            elif code != RESTART_CODE and read_link(self._folder / "active") == slot:
                return code

    def _forward(self, number: int, frame: Any) -> None:
        self._is_stopping = True
        systemd.notify("STOPPING=1")
        if self._child:
            self._child.send_signal(number)

    def _start(self, slot: str) -> tuple[subprocess.Popen[bytes], threading.Thread]:
        environment = {**os.environ, SLOT_VARIABLE: slot}
        if slot:
            paths = [str(self._folder / slot / "image"), os.environ.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._tail.clear()
        child = subprocess.Popen(
            [sys.executable, "-m", "fleetd_agent", "run"],
            env=environment,
            stderr=subprocess.PIPE,
            preexec_fn=_die_with_launcher,
        )
        self._child = child
        reader = threading.Thread(target=self._pass_on, args=(child.stderr,), daemon=True)
        reader.start()
        if self._is_stopping:
            child.terminate()
        return child, reader

    def _pass_on(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._tail.append(line[-2000:])
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()

    def _watch(self, child: subprocess.Popen[bytes], slot: str) -> int:
        """Waits for the end of the agent; ends it where it is to make room for another one."""
        limit = float(os.environ.get("FLEETD_AGENT_TRIAL_SECONDS") or TRIAL_SECONDS)
        began_at = time.monotonic()
        while self._is_on_trial(slot):
            if child.poll() is not None:
                return child.returncode
            is_alive = self._trial().get("is_alive")
            if not is_alive and time.monotonic() - began_at > limit:
                self._end(child)
                self._go_back(slot, f"it did not come up within {limit:.0f} s")
                return RESTART_CODE
            time.sleep(POLL_SECONDS)
        if read_link(self._folder / "active") != slot:  # it went back by itself
            self._end(child)
            return RESTART_CODE
        return child.wait()

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    # The trial of a new version

    def _trial(self) -> dict[str, Any]:
        return read_trial(self._folder / TRIAL)

    def _is_on_trial(self, slot: str) -> bool:
        trial = self._trial()
        is_mine = bool(slot) and trial.get("next") == slot and "failed" not in trial
        return is_mine and read_link(self._folder / "active") == slot

    def _begin_trial(self, slot: str) -> None:
        """Counts the starts: a new version that takes the machine down with it goes as well."""
        if not self._is_on_trial(slot):
            return
        trial = self._trial()
        starts = int(trial.get("starts", 0)) + 1
        if starts > STARTS:
            self._go_back(slot, f"it was started {STARTS} times and never came through")
            return
        self._note({**trial, "starts": starts})

    def _go_back(self, slot: str, why: str) -> None:
        trial = self._trial()
        logger.error("the new agent does not work, going back", extra={"slot": slot, "why": why})
        tail = clean_text(b"".join(self._tail).decode(errors="replace"), LOG_TAIL_CHARACTERS)
        self._note({**trial, "failed": why, "log_tail": tail})
        previous = str(trial.get("previous", ""))
        if previous:
            switch_link(self._folder / "active", previous)
        else:
            remove_file(self._folder / "active")

    def _note(self, trial: dict[str, Any]) -> None:
        write_atomic(self._folder / TRIAL, json.dumps(trial).encode())


def _die_with_launcher() -> None:
    """A kill of the launcher is one of the agent: nobody is left behind with the lock."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _folder(state_dir: Path) -> Path:
    return state_dir / "slots" / AGENT


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


if __name__ == "__main__":  # the installer calls this
    use_installed(default_places().state)
