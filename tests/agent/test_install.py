"""The platform can serve the agent and an installer for it."""

import asyncio
import os
import site
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from fleetd_agent import package

from tests.agent.peer import ROOT, TOKEN, Peer
from tests.agent.support import FileServer


def test_the_wheel_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    assert package.build(tmp_path / "a.whl") == package.build(tmp_path / "b.whl")
    names = zipfile.ZipFile(tmp_path / "a.whl").namelist()
    assert "fleetd_agent/data/install.sh" in names
    assert "fleetd_agent/pb/internal/agent/v1/agent_pb2.py" in names
    assert not [name for name in names if "__pycache__" in name]


def test_the_wheel_asks_for_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "agent/pyproject.toml").read_text())["project"]
    assert list(package.DEPENDENCIES) == project["dependencies"]


@pytest.mark.parametrize("address", ["javascript:x", "https://", "http://a\n/", "ftp://a"])
def test_an_installer_is_only_made_for_web_addresses(address: str) -> None:
    with pytest.raises(ValueError, match="web address"):
        package.install_script(address, "0" * 64)


def test_an_address_cannot_smuggle_commands_into_the_installer(tmp_path: Path) -> None:
    script = package.install_script(f"http://x';touch {tmp_path}/owned;'", "0" * 64)
    run_script(script, tmp_path, FLEETD_DRY_RUN="1")
    assert not (tmp_path / "owned").exists()


def run_script(script: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh"],
        input=script,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "FLEETD_AGENT_PREFIX": str(home / "agent"),
            "FLEETD_AGENT_STATE_DIR": str(home / "state"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    tmp_path: Path, files: FileServer
) -> None:
    wheel = tmp_path / "wheel"
    digest = package.build(wheel)
    files.files[package.NAME] = wheel.read_bytes()
    done = run_script(package.install_script(files.url, digest, is_dry_run=True), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "would run" in done.stdout
    assert not (tmp_path / "agent").exists()


def test_an_agent_with_another_digest_is_not_installed(tmp_path: Path, files: FileServer) -> None:
    files.files[package.NAME] = b"something else"
    done = run_script(package.install_script(files.url, "0" * 64), tmp_path)
    assert done.returncode == 1
    assert "is not the file" in done.stderr
    assert not (tmp_path / "agent").exists()


async def test_the_installer_installs_and_enrolls_and_may_run_again(
    tmp_path: Path, peer: Peer
) -> None:
    wheel = tmp_path / "wheel"
    digest = package.build(wheel)
    peer.files.files[package.NAME] = wheel.read_bytes()
    script = package.install_script(peer.files.url, digest)
    # The libraries are those of this environment: tests use no package index.
    environment = {
        "FLEETD_TOKEN": TOKEN,
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PYTHONPATH": site.getsitepackages()[0],
    }
    for attempt in ("enrolled as device", "enrolled already"):
        done = await asyncio.to_thread(run_script, script, tmp_path, **environment)
        assert done.returncode == 0, done.stderr
        assert attempt in done.stdout
    assert len(peer.csrs) == 1
    assert (tmp_path / "agent/bin/fleetd-agent").exists()
