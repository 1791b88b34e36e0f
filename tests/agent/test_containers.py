"""Containers, by a stand-in for the engine: see stand_in_engine.py. No container runs here."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from fleetd_agent.handlers import container as containers
from fleetd_agent.messages import Component, Report, Step

from tests.agent.support import FileServer, component, deploy, engine_on, offer_of, shell


class StandIn:
    """What the stand-in knows."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / "engine.json"

    def set(self, **state: Any) -> None:
        self._state.write_text(json.dumps({"containers": {}, "calls": [], **state}))

    def read(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self._state.read_text())
        return data

    @property
    def running(self) -> dict[str, str]:
        """The images of the containers, by name, that run."""
        found = self.read()["containers"].items()
        return {name: c["Config"]["Image"] for name, c in found if c["State"]["Running"]}


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A docker on PATH with an old container."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "docker"
    text = Path(__file__).with_name("stand_in_engine.py").read_text()
    command.write_text(text.replace("#!/usr/bin/env python3", f"#!{sys.executable}"))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    engine = StandIn(folder)
    old = {"Config": {"Image": "app:1", "Labels": None}, "State": {"Running": True}}
    engine.set(containers={"app": old})
    return engine


def app(files: FileServer, image: str, **more: Any) -> Component:
    about = {"kind": "container", "target": "app", **more}
    return component(files, f"image {image}".encode(), **about)


async def install(tmp_path: Path, item: Component) -> Report:
    return await deploy(engine_on(tmp_path / "state"), offer_of(item))


async def test_replaces_the_container_and_removes_the_old_one_at_the_end(
    tmp_path: Path, files: FileServer, stand_in: StandIn
) -> None:
    options = {"ports": "80:8080\n443:8443/tcp", "environment": "A=two words", "image": "app:2"}
    report = await install(tmp_path, app(files, "app:2", options=options))
    assert report.step == Step.SUCCEEDED, report
    assert stand_in.running == {"app": "app:2"}
    run = next(call for call in stand_in.read()["calls"] if call[0] == "run")
    assert run[-5:] == [
        *("--restart=unless-stopped", "--publish=80:8080", "--publish=443:8443/tcp"),
        *("--env=A=two words", "app:2"),
    ]
    assert list(stand_in.read()["containers"]) == ["app"]


async def test_a_failing_verification_brings_the_old_container_back(
    tmp_path: Path, files: FileServer, stand_in: StandIn
) -> None:
    report = await install(tmp_path, app(files, "app:2", verify=shell("exit 1")))
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "verify_failed")
    assert stand_in.running == {"app": "app:1"}
    assert list(stand_in.read()["containers"]) == ["app"]


async def test_a_container_that_ends_at_once_is_replaced_by_the_old_one_and_its_log_is_told(
    tmp_path: Path, files: FileServer, stand_in: StandIn
) -> None:
    report = await install(tmp_path, app(files, "app:crash"))
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "verify_failed")
    assert "no such table" in report.log_tail
    assert stand_in.running == {"app": "app:1"}


async def test_a_file_without_an_image_changes_nothing(
    tmp_path: Path, files: FileServer, stand_in: StandIn
) -> None:
    item = component(files, b"rubbish", kind="container", target="app")
    report = await install(tmp_path, item)
    assert (report.step, report.reason_code) == (Step.FAILED, "container_failed")
    assert stand_in.running == {"app": "app:1"}


async def test_an_engine_that_does_not_answer_is_missing(
    tmp_path: Path, files: FileServer, stand_in: StandIn
) -> None:
    stand_in.set(is_down=True)
    report = await install(tmp_path, app(files, "app:2"))
    assert (report.step, report.reason_code) == (Step.FAILED, "engine_missing")


async def test_a_machine_without_an_engine_does_not_take_containers(
    tmp_path: Path, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert containers.find_engine() == ""
    report = await install(tmp_path, app(files, "app:2"))
    assert (report.step, report.reason_code) == (Step.FAILED, "kind_not_supported")


@pytest.mark.parametrize("name", ["", "../x", "a b", "--privileged"])
async def test_a_name_that_is_none_is_refused(
    tmp_path: Path, files: FileServer, stand_in: StandIn, name: str
) -> None:
    report = await install(tmp_path, app(files, "app:2", target=name))
    assert (report.step, report.reason_code) == (Step.FAILED, "target_refused")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"privileged": "true"}, "offer_refused"),
        ({"engine": "podman"}, "engine_missing"),
        ({"image": "other:2"}, "container_failed"),
    ],
)
async def test_options_that_cannot_be_kept_are_refused(
    tmp_path: Path, files: FileServer, stand_in: StandIn, options: dict[str, str], reason: str
) -> None:
    report = await install(tmp_path, app(files, "app:2", options=options))
    assert (report.step, report.reason_code) == (Step.FAILED, reason)
    assert stand_in.running == {"app": "app:1"}
