"""Uploads in parts go on where they stopped."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from fleetctl import uploads
from fleetctl.errors import Refused, Unreachable, UsageError

CONTENT = bytes(range(256)) * 64


class Server:
    """What the server keeps of one upload, behind a connection that is cut as planned."""

    server = "http://platform"

    def __init__(self) -> None:
        self.stored = b""
        self.begun = 0
        self.cuts: list[bool] = []  # of coming parts: whether the server got the part all the same
        self.is_known = True

    def post(self, path: str, body: Any = None) -> Any:
        if path == "artifact-uploads":
            self.begun += 1
            self.is_known, self.announced = True, body
            return {"id": "u1"}
        assert path == "artifact-uploads/u1:complete"
        return {"id": "a1", "sha256": hashlib.sha256(self.stored).hexdigest()}

    def upload_offset(self, path: str) -> int:
        if not self.is_known:
            raise Refused(404, "no such upload")
        return len(self.stored)

    def send_part(self, path: str, offset: int, part: bytes) -> int:
        if offset != len(self.stored):
            raise Refused(409, "the part does not begin there")
        is_cut = bool(self.cuts)
        if not is_cut or self.cuts.pop(0):
            self.stored += part
        if is_cut:
            raise Unreachable("the connection was cut")
        return len(self.stored)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to upload, and a home of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(uploads, "PART_BYTES", 1000)
    path = tmp_path / "app.bin"
    path.write_bytes(CONTENT)
    return path


def upload(server: Server, file: Path, pauses: tuple[float, ...] = (0.0,) * 4) -> Any:
    """Uploads the file."""
    return uploads.upload_file(server, file, "app.bin", say=lambda text: None, pauses=pauses)


def test_a_file_arrives_whole_although_the_connection_is_cut(file: Path) -> None:
    server = Server()
    server.cuts = [True, False, True]
    artifact = upload(server, file)
    assert server.stored == CONTENT
    assert artifact["sha256"] == server.announced["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert (server.announced["size_bytes"], server.begun) == (len(CONTENT), 1)


def test_another_run_goes_on_where_the_first_one_gave_up(file: Path) -> None:
    server = Server()
    server.cuts = [True] * 3
    with pytest.raises(Unreachable):
        upload(server, file, ())
    assert 0 < len(server.stored) < len(CONTENT)
    server.cuts = []
    upload(server, file)
    assert (server.stored, server.begun) == (CONTENT, 1)


def test_an_upload_that_the_server_forgot_begins_anew(file: Path) -> None:
    server = Server()
    server.cuts = [True] * 3
    with pytest.raises(Unreachable):
        upload(server, file, ())
    server.is_known, server.stored, server.cuts = False, b"", []
    upload(server, file)
    assert (server.stored, server.begun) == (CONTENT, 2)


def test_an_empty_or_missing_file_is_wrong_usage(file: Path) -> None:
    file.write_bytes(b"")
    with pytest.raises(UsageError):
        upload(Server(), file)
    with pytest.raises(UsageError):
        upload(Server(), file.with_name("none"))
