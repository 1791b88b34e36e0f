"""What releases say about services, owners and interpreters is done on the device, or refused."""

import pwd
import sys
from pathlib import Path

import pytest
from fleetd_agent.messages import Step

from tests.agent.support import FileServer, component, deploy, engine_on, offer_of, shell

SYSTEMCTL = """#!/bin/sh
echo "$@ $(cat {target})" >> {log}
[ ! -e {broken} ] || {{ echo "Job failed"; rm {broken}; exit 1; }}
"""


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that notes its arguments and what the file was at that time."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "systemctl"
    log, target = tmp_path / "log", tmp_path / "app"
    command.write_text(SYSTEMCTL.format(log=log, target=target, broken=tmp_path / "broken"))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    target.write_text("old")
    return log


@pytest.mark.parametrize("action", ["", "reload"])
async def test_a_service_is_told_of_its_new_file_and_of_the_old_one_when_it_comes_back(
    tmp_path: Path, files: FileServer, systemctl: Path, action: str
) -> None:
    options = {"service": "app.service", **({"action": action} if action else {})}
    target = str(tmp_path / "app")
    item = component(files, b"new", target=target, options=options, verify=shell("exit 1"))
    report = await deploy(engine_on(tmp_path / "state"), offer_of(item))
    assert report.step == Step.ROLLED_BACK
    verb = action or "restart"
    assert systemctl.read_text().splitlines() == [
        f"{verb} app.service new",
        f"{verb} app.service old",
    ]


async def test_a_service_that_does_not_take_its_file_brings_the_old_one_back(
    tmp_path: Path, files: FileServer, systemctl: Path
) -> None:
    (tmp_path / "broken").touch()
    options = {"service": "app.service"}
    item = component(files, b"new", target=str(tmp_path / "app"), options=options)
    report = await deploy(engine_on(tmp_path / "state"), offer_of(item))
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "service_failed")
    assert report.log_tail == "Job failed\n"
    assert (tmp_path / "app").read_text() == "old"


async def test_a_file_gets_its_owner_and_an_account_that_is_not_there_is_refused(
    tmp_path: Path, files: FileServer
) -> None:
    me = pwd.getpwuid(Path("/proc/self").stat().st_uid).pw_name
    target = tmp_path / "app"
    for owner, reason in ((me, ""), ("nobody-here", "target_refused")):
        item = component(files, b"new", target=str(target), options={"owner": owner})
        report = await deploy(engine_on(tmp_path / "state"), offer_of(item))
        assert report.reason_code == reason
    assert target.owner() == me


async def test_what_is_staged_is_for_the_agents_eyes_until_it_is_in_place(
    tmp_path: Path, files: FileServer
) -> None:
    target, log = tmp_path / "secret", tmp_path / "log"
    target.write_text("old")
    target.chmod(0o640)
    look = shell(f"stat -c %a {tmp_path}/.fleetd-new-* > {log}")
    item = component(files, b"new", target=str(target), before=look)
    assert (await deploy(engine_on(tmp_path / "state"), offer_of(item))).step == Step.SUCCEEDED
    assert log.read_text() == "600\n"
    assert target.stat().st_mode & 0o777 == 0o640


async def test_a_script_runs_in_its_interpreter_and_within_its_time(
    tmp_path: Path, files: FileServer
) -> None:
    log = tmp_path / "log"
    program = f"open({str(log)!r}, 'w').write('python'); import time; time.sleep(60)".encode()
    options = {"interpreter": sys.executable, "timeout_seconds": "1"}
    item = component(files, program, kind="script", options=options)
    report = await deploy(engine_on(tmp_path / "state"), offer_of(item))
    assert report.reason_code == "script_failed"
    assert "not done within 1 s" in report.message
    assert log.read_text() == "python"


@pytest.mark.parametrize(
    ("kind", "option"),
    [("config", "mode"), ("script", "nice"), ("firmware", "service"), ("package", "ports")],
)
async def test_an_option_that_a_kind_does_not_have_is_refused(
    tmp_path: Path, files: FileServer, kind: str, option: str
) -> None:
    item = component(files, b"new", kind=kind, target="/tmp/agent-none", options={option: "1"})
    report = await deploy(engine_on(tmp_path / "state"), offer_of(item))
    assert (report.step, report.reason_code) == (Step.FAILED, "offer_refused")
    assert files.behaviour.requests == []
