"""Where a release may put files on a device, and where it may not."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from fleetd_agent.commands import CommandRunner
from fleetd_agent.handlers import FileHandler, FirmwareHandler
from fleetd_agent.messages import Component, StepFailed
from hypothesis import given
from hypothesis import strategies as st

APP = Component("app", "2", "binary", "00", 1, "http://x")


def refusal(handler: FileHandler | FirmwareHandler, target: str) -> str:
    try:
        handler.check(replace(APP, target=target))
    except StepFailed as failure:
        return failure.reason_code
    return ""


@pytest.mark.parametrize(
    "target",
    [
        *("", "relative", "./a", "/a/../b", "/..", "/a\0b", "/folder/", "/"),
        *("{state}", "{state}/identity.json", "{link}/identity.json", "{tmp}/link", "{tmp}"),
        *("{tmp}/pipe", "{tmp}/state/../state/journal.json"),
    ],
)
def test_these_targets_are_refused(tmp_path: Path, target: str) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (tmp_path / "link").symlink_to(state)
    os.mkfifo(tmp_path / "pipe")
    path = target.format(state=state, link=tmp_path / "link", tmp=tmp_path)
    assert refusal(FileHandler(state, 0o755, CommandRunner()), path) == "target_refused"


def test_ordinary_paths_are_taken(tmp_path: Path) -> None:
    handler = FileHandler(tmp_path / "state", 0o755, CommandRunner())
    assert refusal(handler, str(tmp_path / "new folder/äpp")) == ""
    assert refusal(handler, str(tmp_path / "state-of-mind")) == ""


@given(st.text())
def test_whatever_a_slot_is_called_it_stays_below_the_slots(name: str) -> None:
    slots = Path("/slots")
    if refusal(FirmwareHandler(slots), name) == "":
        assert (slots / name).resolve().parent == slots
