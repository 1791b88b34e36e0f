"""fleetctl speaks to the REST API and says what came of it, in words and in its exit code."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetctl.cli import main
from fleetctl.errors import AUTH_NEEDED, CONFLICT, FORBIDDEN, NOT_FOUND, UNREACHABLE, USAGE
from fleetctl.output import ago, cell, show_list

NAMES = [f"device-{number:04d}" for number in range(1500)]


class Door(BaseHTTPRequestHandler):
    """The REST door as `contracts.md` describes it."""

    seen: list[tuple[str, str, bytes, str]]
    problem: dict[str, Any] | None

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        size = min(int(query.get("page_size", ["50"])[0]), 1000)
        begin = int(query.get("page_token", ["0"])[0])
        items = [{"name": name, "id": name} for name in NAMES[begin : begin + size]]
        following = begin + size
        token = str(following) if following < len(NAMES) else ""
        self.reply(200, {"items": items, "next_page_token": token})

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.reply(200, {"id": "1", "name": "x", "state": "paused"}, body)

    def reply(self, status: int, content: dict[str, Any], body: bytes = b"") -> None:
        cls = type(self)
        key = self.headers.get("Authorization", "")
        cls.seen.append((self.command, self.path, body, key))
        if cls.problem:
            status, content = cls.problem["status"], cls.problem
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Door]]:
    fresh = type("FreshDoor", (Door,), {"seen": [], "problem": None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), fresh)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("FLEETD_SERVER", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("FLEETD_TOKEN", "fld_pat_test")
    yield fresh
    server.shutdown()
    server.server_close()


def test_a_list_goes_on_over_pages_up_to_its_limit(
    door: type[Door], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["devices", "list", "--limit", "1200", "-o", "json"]) == 0
    items = json.loads(capsys.readouterr().out)
    assert [item["name"] for item in items] == NAMES[:1200]
    assert len(door.seen) == 2
    assert door.seen[0][3] == "Bearer fld_pat_test"


def test_an_operation_of_a_whole_list_reaches_its_address(door: type[Door], tmp_path: Path) -> None:
    manifest = tmp_path / "rollout.yaml"
    manifest.write_text("apiVersion: fleet/v1")
    main(["rollouts", "create", "-f", str(manifest)])
    assert door.seen[0][:2] == ("POST", "/api/v1/rollouts:manifest")


def test_filters_reach_the_server_and_empty_ones_do_not(door: type[Door]) -> None:
    main(["devices", "list", "--connectivity", "online", "--tag", "a&b"])
    query = parse_qs(urlsplit(door.seen[0][1]).query)
    query.pop("page_size")
    assert query == {"connectivity": ["online"], "tag": ["a&b"]}


def test_a_list_that_was_cut_says_so_beside_the_data(
    door: type[Door], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["devices", "list", "-o", "json"])
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)) == 50
    assert "more than these 50" in shown.err
    main(["devices", "list", "--limit", str(len(NAMES)), "-o", "json"])
    assert capsys.readouterr().err == ""


def test_the_only_problem_names_its_field(
    door: type[Door], capsys: pytest.CaptureFixture[str]
) -> None:
    problem = "This is a whole number from 1 to 100."
    errors = [{"pointer": "/plan.phases.0.percent", "detail": problem}]
    door.problem = {"status": 400, "detail": problem, "errors": errors}
    main(["devices", "get", "1"])
    assert f"plan.phases.0.percent: {problem}" in capsys.readouterr().err


def test_a_filter_is_sent_and_what_is_wrong_in_it_is_marked(
    door: type[Door], capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'tags:"lab" AND conectivity = "offline"'
    assert main(["devices", "list", "--filter", text]) == 0
    assert parse_qs(urlsplit(door.seen[0][1]).query)["filter"] == [text]
    problem = 'Unknown field "conectivity" at 16–26, did you mean "connectivity"?'
    door.problem = {
        "status": 400,
        "code": "invalid_filter",
        "detail": problem,
        "errors": [{"pointer": "/filter", "detail": problem}],
        "metadata": {"column": 16, "end": 26, "suggestion": "connectivity"},
    }
    assert main(["devices", "list", "--filter", text]) == USAGE
    shown = capsys.readouterr().err
    assert shown.count(problem) == 1
    assert shown.splitlines()[-2:] == [f"  {text}", "  " + " " * 15 + "^" * 11]


@pytest.mark.parametrize("verb", ["submit", "start", "pause", "resume"])
def test_a_rollout_verb_is_one_call(door: type[Door], verb: str) -> None:
    assert main(["rollouts", verb, "a/b"]) == 0
    assert [(method, path) for method, path, _, _ in door.seen] == [
        ("POST", f"/api/v1/rollouts/a%2Fb:{verb}")
    ]


def test_an_approval_names_the_plan(door: type[Door]) -> None:
    assert main(["rollouts", "approve", "1", "--plan-hash", "abc"]) == 0
    assert json.loads(door.seen[0][2]) == {"plan_hash": "abc"}


def test_cancelling_asks_a_person_or_wants_yes(
    door: type[Door], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollouts", "cancel", "1"]) == USAGE
    assert "--yes" in capsys.readouterr().err
    assert door.seen == []
    assert main(["rollouts", "cancel", "1", "--yes"]) == 0


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, USAGE), (401, AUTH_NEEDED), (403, FORBIDDEN), (404, NOT_FOUND), (409, CONFLICT)],
)
def test_a_refusal_says_why_with_its_code_and_request_id(
    door: type[Door], capsys: pytest.CaptureFixture[str], status: int, code: int
) -> None:
    door.problem = {
        "status": status,
        "detail": "No such device",
        "code": "device_not_found",
        "request_id": "req_1",
        "errors": [{"pointer": "/name", "detail": "too long"}],
    }
    assert main(["devices", "get", "1"]) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert "No such device" in output.err
    assert "device_not_found, req_1" in output.err
    assert "name: too long" in output.err


def test_an_unreachable_server_has_an_exit_code_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["devices", "list", "--server", "http://127.0.0.1:1"]) == UNREACHABLE
    assert "cannot be reached" in capsys.readouterr().err


def test_a_file_is_pushed_as_it_is(door: type[Door], tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "app.bin").write_bytes(content)
    assert main(["artifacts", "push", str(tmp_path / "app.bin"), "--name", "edge app"]) == 0
    method, path, body, _ = door.seen[0]
    assert (method, parse_qs(urlsplit(path).query)["name"]) == ("POST", ["edge app"])
    assert body == content


def test_a_missing_file_is_wrong_usage(door: type[Door], tmp_path: Path) -> None:
    assert main(["artifacts", "push", str(tmp_path / "none")]) == USAGE


def test_the_version_does_not_wait_for_heavy_imports() -> None:
    code = (
        "import sys, fleetctl.cli as cli; cli._parser([]);"
        "print('httpx' in sys.modules, 'grpc' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@given(st.text(), st.text())
def test_what_devices_call_themselves_cannot_disturb_the_terminal(name: str, path: str) -> None:
    text = cell({"name": name, "other": path}, "name")
    assert "\x1b" not in text
    assert "\n" not in text


def test_ages_are_short() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for delta, text in ((5, "5s ago"), (7200, "2h ago"), (-90000, "in 1d")):
        assert ago((now - timedelta(seconds=delta)).isoformat(), now) == text


def test_a_table_aligns_wide_characters(capsys: pytest.CaptureFixture[str]) -> None:
    show_list([{"a": "日本", "b": "x"}, {"a": "ab", "b": "y"}], (("A", "a"), ("B", "b")), "table")
    assert capsys.readouterr().out.splitlines() == ["A     B", "日本  x", "ab    y"]


@pytest.mark.parametrize(("verb", "body"), [("halt", {"reason": "smoke"}), ("retry", {})])
def test_verbs_that_need_a_reason_send_it(
    door: type[Door], verb: str, body: dict[str, str]
) -> None:
    words = ["--reason", "smoke"] if body else []
    assert main(["rollouts", verb, "1", *words]) == 0
    assert door.seen[0][1] == f"/api/v1/rollouts/1:{verb}"
    assert json.loads(door.seen[0][2]) == body


def test_a_dry_run_sends_the_plan_and_asks_that_nothing_is_stored(door: type[Door]) -> None:
    words = ["--name", "Lab", "--release", "r1", "--tag", "lab", "--phases", "10,100"]
    main(["rollouts", "plan", *words, "--statistical", "-o", "json"])
    sent = json.loads(door.seen[0][2])
    assert sent["validate_only"] is True
    assert sent["target"] == {"tags": ["lab"], "filter": ""}
    assert [p["percent"] for p in sent["plan"]["phases"]] == [10, 100]
    assert {p["gate"]["kind"] for p in sent["plan"]["phases"]} == {"sequential"}


def test_a_phase_is_counted_from_one_by_people(door: type[Door]) -> None:
    assert main(["rollouts", "advance", "1", "--phase", "2", "--reason", "seen"]) == 0
    assert json.loads(door.seen[0][2]) == {"index": 1, "reason": "seen"}


def test_suspects_are_shown_as_the_platform_says_them(
    door: type[Door], capsys: pytest.CaptureFixture[str]
) -> None:
    said = "Devices with model pi4 fail 3 times as often as all"
    found = {"attribute": "model", "value": "pi4", "failed": 5, "sentence": said}
    door.problem = {"status": 200, "suspects": [found]}
    assert main(["rollouts", "suspects", "1"]) == 0
    assert door.seen[-1][:2] == ("GET", "/api/v1/rollouts/1/suspects")
    assert said in capsys.readouterr().out


def test_going_on_without_devices_asks_first_and_names_their_trait(door: type[Door]) -> None:
    words = ["rollouts", "exclude", "1", "--reason", "no room", "--trait"]
    assert main([*words, "model=pi4"]) == USAGE
    assert main([*words, "pi4", "--yes"]) == USAGE
    assert door.seen == []
    assert main([*words, "tag=a=b", "--yes"]) == 0
    assert door.seen[0][1] == "/api/v1/rollouts/1:exclude"
    sent = {"attribute": "tag", "value": "a=b", "reason": "no room"}
    assert json.loads(door.seen[0][2]) == sent
