"""Kinds that a device brings itself."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from fleetd_agent.handlers import handlers_for, plugins
from fleetd_agent.handlers.script import ScriptHandler
from fleetd_agent.messages import Step

from tests.agent.support import FileServer, component, deploy, engine_on, offer_of, shell

PLUGIN = """#!/bin/sh
set -e
[ "$1" = features ] || echo "$1 $FLEETD_COMPONENT $FLEETD_OPTION_BOARD_NAME" >> {log}
case "$1" in
  features) echo resumable ;;
  prepare) [ ! -e {target} ] || cp {target} "$FLEETD_RECORD_DIR/previous" ;;
  apply) cp "$FLEETD_FILE" {target} ;;
  roll_back) cp "$FLEETD_RECORD_DIR/previous" {target} ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the device keeps its handlers: one for the kind fpga."""
    folder = tmp_path / "handlers.d"
    folder.mkdir(mode=0o755)
    plugin = folder / "fpga"
    plugin.write_text(PLUGIN.format(log=tmp_path / "log", target=tmp_path / "bitstream"))
    plugin.chmod(0o755)
    monkeypatch.setenv("FLEETD_AGENT_HANDLERS_DIR", str(folder))
    return folder


async def test_an_executable_installs_a_kind_of_its_own_and_undoes_it(
    tmp_path: Path, files: FileServer, folder: Path
) -> None:
    (tmp_path / "bitstream").write_bytes(b"old")
    engine = engine_on(tmp_path / "state")
    assert "fpga" in engine.kinds
    options = {"board-name": "left"}
    item = component(files, b"new", kind="fpga", options=options)
    assert (await deploy(engine, offer_of(item))).step == Step.SUCCEEDED
    assert (tmp_path / "bitstream").read_bytes() == b"new"
    bad = component(files, b"worse", kind="fpga", verify=shell("exit 1"))
    report = await deploy(engine_on(tmp_path / "state"), offer_of(bad))
    assert report.step == Step.ROLLED_BACK
    assert (tmp_path / "bitstream").read_bytes() == b"new"
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[:5] == [
        f"{a} app left" for a in ("prepare", "stage", "prepare", "apply", "verify")
    ]
    assert list((tmp_path / "state/handlers/fpga").iterdir()) == []


@pytest.mark.parametrize("who", ["file", "folder"])
def test_an_executable_that_others_may_change_is_left_out(
    tmp_path: Path, folder: Path, who: str
) -> None:
    (folder / "fpga" if who == "file" else folder).chmod(0o777)
    assert "fpga" not in handlers_for(tmp_path, None)  # type: ignore[arg-type]


def test_our_own_kinds_cannot_be_taken_over(tmp_path: Path, folder: Path) -> None:
    (folder / "fpga").rename(folder / "script")
    found = handlers_for(tmp_path, None)  # type: ignore[arg-type]
    assert isinstance(found["script"], ScriptHandler)


def test_python_packages_bring_handlers_and_broken_ones_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = "fleetd_agent.handlers.script:ScriptHandler"
    points = [
        EntryPoint("broken", "no_such_module:x", plugins.GROUP),
        EntryPoint("job", "tests.agent.test_plugins:make_handler", plugins.GROUP),
        EntryPoint("wrong", good, plugins.GROUP),  # takes other arguments
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    monkeypatch.setenv("FLEETD_AGENT_HANDLERS_DIR", str(tmp_path / "none"))
    assert list(plugins.find_plugins(tmp_path, None)) == ["job"]  # type: ignore[arg-type]


def make_handler(state_dir: Path, runner: object) -> ScriptHandler:
    return ScriptHandler(runner)  # type: ignore[arg-type]
