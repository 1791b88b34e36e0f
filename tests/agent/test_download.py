"""Downloads on bad lines: they go on, give up in time, and never show a half file."""

import hashlib
import os
import threading
from pathlib import Path

import pytest
from fleetd_agent import downloads
from fleetd_agent.downloads import HttpDownloader, build_opener
from fleetd_agent.messages import Component, LinkExpired, StepFailed
from fleetd_agent.ports import Work

from tests.agent.support import FileServer

CONTENT = os.urandom(900_000)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become tenths of seconds."""
    monkeypatch.setattr(downloads, "READ_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(downloads, "full_jitter", lambda *args, **kwargs: 0.01)


def work_on(folder: Path, files: FileServer, **more: object) -> Work:
    digest = files.add(CONTENT)
    fields = {"sha256": digest, "size_bytes": len(CONTENT), "url": f"{files.url}/{digest}"}
    component = Component(**{"name": "app", "version": "1", "kind": "binary", **fields, **more})
    return Work("deployment", 0, component, folder / "deployment" / "0")


async def fetch(folder: Path, work: Work) -> None:
    await HttpDownloader(folder, build_opener()).fetch(work, lambda percent: None)


async def test_a_stalled_connection_is_given_up_and_resumed(
    tmp_path: Path, files: FileServer
) -> None:
    work = work_on(tmp_path, files)
    files.behaviour.cut_after = 300_000
    files.behaviour.stall = threading.Event()
    await fetch(tmp_path, work)
    files.behaviour.stall.set()
    assert work.file.read_bytes() == CONTENT
    assert files.behaviour.requests[1][1].startswith("bytes=")


async def test_a_trickle_is_given_up(
    tmp_path: Path, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "SPEED_WINDOW_SECONDS", 0.0)
    monkeypatch.setattr(downloads, "MINIMUM_BYTES_PER_SECOND", 1e18)
    monkeypatch.setattr(downloads, "BLOCK_BYTES", 100_000)
    work = work_on(tmp_path, files)
    files.behaviour.cut_after = 10_000
    await fetch(tmp_path, work)  # each attempt makes some progress, so it gets there
    assert len(files.behaviour.requests) > 3
    assert work.file.read_bytes() == CONTENT


async def test_a_part_from_before_a_restart_is_used(tmp_path: Path, files: FileServer) -> None:
    work = work_on(tmp_path, files)
    work.file.parent.mkdir()
    work.file.with_name("0.part").write_bytes(CONTENT[:500_000])
    work.file.with_name("0.json").write_text(f'{{"etag": "\\"{work.component.sha256}\\""}}')
    await fetch(tmp_path, work)
    assert [asked for _, asked in files.behaviour.requests] == ["bytes=500000-"]
    assert work.file.read_bytes() == CONTENT


async def test_a_spoilt_part_is_thrown_away_once(tmp_path: Path, files: FileServer) -> None:
    work = work_on(tmp_path, files)
    work.file.parent.mkdir()
    work.file.with_name("0.part").write_bytes(b"x" * 500_000)
    work.file.with_name("0.json").write_text(f'{{"etag": "\\"{work.component.sha256}\\""}}')
    await fetch(tmp_path, work)
    assert [asked for _, asked in files.behaviour.requests] == ["bytes=500000-", ""]
    assert work.file.read_bytes() == CONTENT


async def test_a_file_that_changed_on_the_server_starts_over(
    tmp_path: Path, files: FileServer
) -> None:
    work = work_on(tmp_path, files)
    work.file.parent.mkdir()
    work.file.with_name("0.part").write_bytes(b"y" * 500_000)
    work.file.with_name("0.json").write_text('{"etag": "\\"another\\""}')
    await fetch(tmp_path, work)
    assert len(files.behaviour.requests) == 1
    assert work.file.read_bytes() == CONTENT


async def test_a_complete_file_is_not_fetched_again(tmp_path: Path, files: FileServer) -> None:
    work = work_on(tmp_path, files)
    await fetch(tmp_path, work)
    await fetch(tmp_path, work)
    assert len(files.behaviour.requests) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_an_expired_link_is_told_apart(
    tmp_path: Path, files: FileServer, status: int
) -> None:
    work = work_on(tmp_path, files)
    files.behaviour.status = status
    with pytest.raises(LinkExpired):
        await fetch(tmp_path, work)
    assert len(files.behaviour.requests) == 1


async def test_a_broken_server_is_tried_several_times(tmp_path: Path, files: FileServer) -> None:
    work = work_on(tmp_path, files)
    files.behaviour.status = 503
    with pytest.raises(LinkExpired):
        await fetch(tmp_path, work)
    assert len(files.behaviour.requests) == downloads.ATTEMPTS_WITHOUT_PROGRESS


async def test_a_server_that_is_away_is_no_error_of_the_release(
    tmp_path: Path, files: FileServer
) -> None:
    with pytest.raises(LinkExpired):
        await fetch(tmp_path, work_on(tmp_path, files, url="http://127.0.0.1:1/x"))


async def test_a_wrong_digest_leaves_no_file(tmp_path: Path, files: FileServer) -> None:
    wrong = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(StepFailed) as failure:
        await fetch(tmp_path, work_on(tmp_path, files, sha256=wrong))
    assert failure.value.reason_code == "digest_mismatch"
    assert [p.name for p in (tmp_path / "deployment").iterdir()] == ["0.json"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "x"])
async def test_other_schemes_are_not_opened(tmp_path: Path, files: FileServer, url: str) -> None:
    with pytest.raises(StepFailed):
        await fetch(tmp_path, work_on(tmp_path, files, url=url))
    assert not (tmp_path / "deployment/0").exists()
