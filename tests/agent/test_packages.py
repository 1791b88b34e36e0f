"""Debian packages, with this machine's real dpkg, into a system below a folder."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fleetd_agent.commands import CommandRunner
from fleetd_agent.engine import Engine
from fleetd_agent.handlers.package import PackageHandler, Root
from fleetd_agent.messages import Component, Report, Step

from tests.agent import debian
from tests.agent.support import FileServer, component, deploy, engine_on, offer_of, shell

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="this machine has no dpkg")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty system."""
    debian.make_root(tmp_path / "root")
    return tmp_path / "root"


def engine_for(tmp_path: Path, root: Path, lock_seconds: int = 30) -> Engine:
    state = tmp_path / "state"
    handler = PackageHandler(state / "packages", CommandRunner(), Root(root), lock_seconds)
    return engine_on(state, handlers={"package": handler})


def package(files: FileServer, content: bytes, version: str, **more: Any) -> Component:
    about = {"kind": "package", "target": debian.NAME, "version": version, **more}
    return component(files, content, **about)


async def install(
    tmp_path: Path,
    files: FileServer,
    root: Path,
    version: str,
    lock_seconds: int = 30,
    **more: Any,
) -> Report:
    content = more.pop("content", None) or debian.build(tmp_path, version)
    item = package(files, content, version, **more)
    return await deploy(engine_for(tmp_path, root, lock_seconds), offer_of(item))


LOCKING = """
import fcntl, sys, time
with open(sys.argv[1], "w") as stream:
    fcntl.lockf(stream, fcntl.LOCK_EX)
    print("locked", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@contextmanager
def another_at_work(root: Path, seconds: float, name: str = "lock") -> Iterator[None]:
    """Another program works on dpkg's database: it holds its lock."""
    command = [sys.executable, "-c", LOCKING, str(root / "var/lib/dpkg" / name), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


async def test_installs_upgrades_and_keeps_only_the_file_for_going_back(
    tmp_path: Path, files: FileServer, root: Path
) -> None:
    for version in ("1.0", "2.0"):
        report = await install(tmp_path, files, root, version)
        assert report.step == Step.SUCCEEDED, report.log_tail
        assert debian.installed(root) == ("installed", version)
        assert (root / "opt/app/version").read_text() == version
        assert len(list((tmp_path / "state/packages").iterdir())) == 1
    assert (root / "log").read_text().splitlines() == ["1.0 configure", "2.0 configure"]


async def test_a_failing_verification_brings_the_version_before_back(
    tmp_path: Path, files: FileServer, root: Path
) -> None:
    await install(tmp_path, files, root, "1.0")
    report = await install(tmp_path, files, root, "2.0", verify=shell("exit 1"))
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "verify_failed")
    assert debian.installed(root) == ("installed", "1.0")
    assert (root / "opt/app/version").read_text() == "1.0"


async def test_a_package_that_was_not_there_before_is_removed_again(
    tmp_path: Path, files: FileServer, root: Path
) -> None:
    report = await install(tmp_path, files, root, "2.0", verify=shell("exit 1"))
    assert report.step == Step.ROLLED_BACK
    assert debian.installed(root)[0] == "not-installed"
    assert not (root / "opt/app").exists()


async def test_a_package_whose_own_script_fails_leaves_the_version_before_and_its_words(
    tmp_path: Path, files: FileServer, root: Path
) -> None:
    await install(tmp_path, files, root, "1.0")
    broken = debian.build(tmp_path, "2.0", postinst="echo the database is locked; exit 1")
    report = await install(tmp_path, files, root, "2.0", content=broken)
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "package_failed")
    assert "the database is locked" in report.log_tail
    assert debian.installed(root) == ("installed", "1.0")


async def test_without_a_way_back_nothing_is_touched_unless_the_release_says_so(
    tmp_path: Path, files: FileServer, root: Path
) -> None:
    await install(tmp_path, files, root, "1.0")
    shutil.rmtree(tmp_path / "state/packages")
    report = await install(tmp_path, files, root, "2.0")
    assert (report.step, report.reason_code) == (Step.FAILED, "no_way_back")
    assert debian.installed(root) == ("installed", "1.0")
    options = {"without_way_back": "true"}
    report = await install(tmp_path, files, root, "2.0", options=options, verify=shell("exit 1"))
    assert report.step == Step.FAILED
    assert "could not be undone" in report.message


@pytest.mark.parametrize("what", ["architecture", "name", "rubbish"])
async def test_a_file_that_does_not_fit_is_refused_before_anything_is_touched(
    tmp_path: Path, files: FileServer, root: Path, what: str
) -> None:
    content, more = debian.build(tmp_path, "2.0"), {}
    if what == "architecture":
        content = debian.build(tmp_path, "2.0", architecture="m68k")
    elif what == "name":
        more = {"target": "something-else"}
    else:
        content = b"not a package"
    report = await install(tmp_path, files, root, "2.0", content=content, **more)
    assert (report.step, report.reason_code) == (Step.FAILED, "package_refused")
    assert debian.installed(root)[0] == "not-installed"


async def test_a_version_that_is_installed_already_is_not_installed_again(
    tmp_path: Path, files: FileServer, root: Path
) -> None:
    for _ in range(2):
        assert (await install(tmp_path, files, root, "1.0")).step == Step.SUCCEEDED
    assert (root / "log").read_text() == "1.0 configure\n"


async def test_apt_installs_the_file_and_a_hold_is_set_and_taken_back(
    tmp_path: Path, files: FileServer, root: Path
) -> None:
    options = {"manager": "apt", "package_name": debian.NAME}
    report = await install(tmp_path, files, root, "1.0", options=options)
    assert report.step == Step.SUCCEEDED, report.log_tail
    assert debian.installed(root) == ("installed", "1.0")
    held = {**options, "hold": "true"}
    bad = await install(tmp_path, files, root, "2.0", options=held, verify=shell("exit 1"))
    assert bad.step == Step.ROLLED_BACK, bad
    assert debian.installed(root) == ("installed", "1.0")
    assert debian.wanted(root) == "install"
    good = await install(tmp_path, files, root, "2.0", options=held)
    assert good.step == Step.SUCCEEDED
    assert debian.wanted(root) == "hold"


@pytest.mark.parametrize("name", ["lock", "lock-frontend"])
async def test_waits_while_another_program_works_on_the_package_database(
    tmp_path: Path, files: FileServer, root: Path, name: str
) -> None:
    with another_at_work(root, 0.6, name):
        report = await install(tmp_path, files, root, "1.0")
    assert (report.step, report.log_tail) == (Step.SUCCEEDED, "")
    assert (root / "log").read_text() == "1.0 configure\n"


async def test_says_who_never_lets_the_package_database_go(
    tmp_path: Path, files: FileServer, root: Path
) -> None:
    with another_at_work(root, 60):
        report = await install(tmp_path, files, root, "1.0", lock_seconds=1)
    assert (report.step, report.reason_code) == (Step.FAILED, "package_manager_busy")
    assert "works on dpkg's database" in report.message
    assert debian.installed(root)[0] == "not-installed"


async def test_another_program_that_is_faster_only_delays_the_installation(
    tmp_path: Path, files: FileServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackageHandler, "_holder", lambda self: None)  # it comes right after that
    with another_at_work(root, 0.6):
        report = await install(tmp_path, files, root, "1.0")
    assert report.step == Step.SUCCEEDED, report
    assert (root / "log").read_text() == "1.0 configure\n"
    with another_at_work(root, 60):
        report = await install(tmp_path, files, root, "2.0", lock_seconds=1)
    assert (report.step, report.reason_code) == (Step.FAILED, "package_manager_busy")
    assert debian.installed(root) == ("installed", "1.0")


async def test_going_back_waits_for_another_program_too(
    tmp_path: Path, files: FileServer, root: Path
) -> None:
    await install(tmp_path, files, root, "1.0")
    holder = tmp_path / "holder.py"
    holder.write_text(LOCKING)
    lock = root / "var/lib/dpkg/lock"
    out = tmp_path / "out"
    begin = f"setsid {sys.executable} {holder} {lock} 0.6 > {out} 2>&1 &"
    bad = shell(f"{begin} until grep -q locked {out}; do sleep 0.05; done; exit 1")
    report = await install(tmp_path, files, root, "2.0", verify=bad)
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "verify_failed"), report
    assert debian.installed(root) == ("installed", "1.0")


def test_this_machines_own_packages_are_not_those_of_the_tests() -> None:
    assert debian.installed(Path("/"))[0] == "not-installed"
