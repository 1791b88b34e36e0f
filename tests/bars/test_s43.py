"""S43: what belongs together is installed together or not at all.

Given two artifacts that must go together, when only part of the set is offered, then nothing is
activated. The same holds when a part of the set cannot be had, or does not work.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fleetd_agent.messages import Component, Step
from fleetd_agent.policy import InstallPolicy

from tests.agent.support import FileServer, component, deploy, engine_on, offer_of, shell


@pytest.fixture
def files() -> Iterator[FileServer]:
    """A file server of the test's own."""
    server = FileServer()
    yield server
    server.close()


def pair(tmp_path: Path, files: FileServer) -> tuple[Component, Component]:
    """A server and the client that needs it, in place of old ones."""
    for name in ("server", "client"):
        (tmp_path / name).write_text(f"old {name}")
    server, client = (
        component(files, f"new {name}".encode(), name=name, target=str(tmp_path / name))
        for name in ("server", "client")
    )
    return server, client


def both_are_old(tmp_path: Path) -> bool:
    return all((tmp_path / n).read_text() == f"old {n}" for n in ("server", "client"))


@pytest.mark.parametrize("offered", [0, 1, "twice"])
async def test_s43_a_part_of_the_set_is_refused_before_anything_is_downloaded(
    tmp_path: Path, files: FileServer, offered: int | str
) -> None:
    both = pair(tmp_path, files)
    policy = InstallPolicy(bundle_sha256=tuple(c.sha256 for c in both))
    part = (both[0], both[0]) if offered == "twice" else (both[int(offered)],)
    report = await deploy(engine_on(tmp_path / "state"), offer_of(*part, policy=policy))
    assert (report.step, report.reason_code) == (Step.FAILED, "bundle_incomplete")
    assert both_are_old(tmp_path)
    assert files.behaviour.requests == []


async def test_s43_the_whole_set_is_activated(tmp_path: Path, files: FileServer) -> None:
    both = pair(tmp_path, files)
    policy = InstallPolicy(bundle_sha256=tuple(c.sha256.upper() for c in reversed(both)))
    report = await deploy(engine_on(tmp_path / "state"), offer_of(*both, policy=policy))
    assert report.step == Step.SUCCEEDED
    assert (tmp_path / "client").read_text() == "new client"


async def test_s43_a_part_that_is_not_what_was_offered_activates_nothing(
    tmp_path: Path, files: FileServer
) -> None:
    both = pair(tmp_path, files)
    files.behaviour.replace[both[1].sha256] = b"new cliemt"
    report = await deploy(engine_on(tmp_path / "state"), offer_of(*both, policy=InstallPolicy()))
    assert (report.step, report.reason_code) == (Step.FAILED, "digest_mismatch")
    assert both_are_old(tmp_path)


async def test_s43_a_part_that_does_not_work_takes_the_other_one_back(
    tmp_path: Path, files: FileServer
) -> None:

    server, client = pair(tmp_path, files)
    client = replace(client, verify=shell("exit 1"))
    offer = offer_of(server, client, policy=InstallPolicy())
    report = await deploy(engine_on(tmp_path / "state"), offer)
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "verify_failed")
    assert both_are_old(tmp_path)
