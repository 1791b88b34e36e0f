"""fleetctl login, logout, whoami, and tokens that are refreshed by one command at a time."""

import json
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from fleetctl import profiles, sign_in
from fleetctl.cli import main
from fleetctl.errors import AUTH_NEEDED, ERROR, FORBIDDEN, USAGE


class Server(BaseHTTPRequestHandler):
    """The platform's OAuth and `auth/me`, as the reference describes them."""

    lock = threading.Lock()

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        with self.lock:
            self.state["forms"].append((self.path, form))
            getattr(self, self.path.rpartition("/")[2])(form)

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.state["seen"].append(token)
        if token not in self.state["good"]:
            self.reply(401, {"detail": "This access token is not valid.", "code": "invalid_token"})
        else:
            self.reply(200, {"email": "ana@example.com", "organization_slug": "acme"})

    def device_authorization(self, form: dict[str, str]) -> None:
        page = "http://127.0.0.1/device"
        self.reply(
            200,
            {
                "device_code": "d",
                "user_code": "BCDF-GHJK",
                "verification_uri": page,
                "verification_uri_complete": f"{page}?user_code=BCDF-GHJK",
                "expires_in": 600,
                "interval": 0,
            },
        )

    def token(self, form: dict[str, str]) -> None:
        if form["grant_type"].endswith("device_code"):
            answers = self.state["polls"]
            error = answers.pop(0) if answers else ""
            return self.reply(400, {"error": error}) if error else self.issue()
        if form["refresh_token"] != self.state["refresh"]:
            return self.reply(400, {"error": "invalid_grant"})
        return self.issue()

    def revoke(self, form: dict[str, str]) -> None:
        self.reply(200, {})

    def issue(self) -> None:
        number = len(self.state["good"])
        self.state["good"].append(f"access-{number}")
        self.state["refresh"] = f"refresh-{number}"
        values = {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}"}
        self.reply(200, {**values, "expires_in": 600})

    def reply(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A platform, and a home of one's own."""
    for name in ("FLEETD_SERVER", "FLEETD_TOKEN", "FLEETD_PROFILE", "FLEETD_ORG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(sign_in, "SLOWER_BY", 0)
    state: dict[str, Any] = {"forms": [], "seen": [], "good": [], "polls": [], "refresh": ""}
    running = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Server,), {"state": state}))
    running.state = state
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def expire() -> None:
    """Lets the access token of the current profile end."""
    book = profiles.load()
    profile = book.profiles[book.current]
    values = {**profile.__dict__, "expires_at": time.time() - 1}
    profiles.store(profiles.Profile(**values))


def test_login_shows_the_code_waits_and_keeps_the_sign_in(
    server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server.state["polls"] += ["authorization_pending", "slow_down", "authorization_pending"]
    assert main(["login", "--server", f"{url(server)}/"]) == 0
    told = capsys.readouterr().err
    assert "BCDF-GHJK" in told
    assert "Signed in to" in told
    assert "ana@example.com" in told
    assert stat.S_IMODE(profiles.path().stat().st_mode) == 0o600
    assert stat.S_IMODE(profiles.path().parent.stat().st_mode) == 0o700
    assert main(["whoami"]) == 0  # knows the server without being told
    assert server.state["seen"][-1] == "access-0"


@pytest.mark.parametrize(
    ("error", "code"), [("access_denied", FORBIDDEN), ("expired_token", AUTH_NEEDED)]
)
def test_a_login_that_comes_to_nothing_keeps_nothing(server: Any, error: str, code: int) -> None:
    server.state["polls"] += [error]
    assert main(["login", "--server", url(server)]) == code
    assert not profiles.path().exists()


def test_an_ended_access_token_is_refreshed_on_use(server: Any) -> None:
    main(["login", "--server", url(server)])
    expire()
    assert main(["whoami"]) == 0
    assert server.state["seen"][-1] == "access-1"
    assert main(["whoami"]) == 0
    assert len(server.state["good"]) == 2


def test_commands_at_once_refresh_once(server: Any) -> None:
    main(["login", "--server", url(server)])
    expire()
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: main(["whoami"]), range(16)))
    assert codes == [0] * 16
    refreshes = [f for p, f in server.state["forms"] if f.get("grant_type") == "refresh_token"]
    assert len(refreshes) == 1


def test_an_ended_sign_in_says_so(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    main(["login", "--server", url(server)])
    expire()
    server.state["refresh"] = "another"
    for _ in range(2):
        assert main(["whoami"]) == AUTH_NEEDED
        assert "fleetctl login" in capsys.readouterr().err
    refreshes = [f for p, f in server.state["forms"] if f.get("grant_type") == "refresh_token"]
    assert len(refreshes) == 1  # what is known to be ended is not sent again


def test_logout_ends_it_on_the_server_and_here(server: Any) -> None:
    main(["login", "--server", url(server)])
    assert main(["logout"]) == 0
    assert server.state["forms"][-1] == ("/oauth/revoke", {"token": "refresh-0"})
    assert main(["logout"]) == USAGE
    assert "refresh-0" not in profiles.path().read_text()


def test_signing_in_again_ends_the_sign_in_before(server: Any) -> None:
    for _ in range(2):
        main(["login", "--server", url(server)])
    assert server.state["forms"][-1] == ("/oauth/revoke", {"token": "refresh-0"})


def test_a_token_in_the_environment_comes_first(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["login", "--server", url(server)])
    server.state["good"].append("fld_pat_x")
    monkeypatch.setenv("FLEETD_TOKEN", "fld_pat_x")
    monkeypatch.setenv("FLEETD_SERVER", url(server))
    assert main(["whoami"]) == 0
    assert server.state["seen"][-1] == "fld_pat_x"


def test_an_api_key_from_standard_input_is_tried_before_it_is_kept(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    for key, code in (("nonsense", USAGE), ("fld_pat_bad", AUTH_NEEDED), ("fld_pat_good", 0)):
        server.state["good"] = ["fld_pat_good"]
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{key}\n"))
        assert main(["login", "--token-stdin", "--server", url(server)]) == code
    assert main(["whoami"]) == 0
    assert server.state["seen"][-1] == "fld_pat_good"


def test_several_servers_have_profiles(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("lab", "factory"):
        main(["login", "--server", url(server), "--profile", name])
    assert main(["whoami", "--profile", "lab"]) == 0
    assert server.state["seen"][-1] == "access-0"
    assert main(["whoami"]) == 0
    assert server.state["seen"][-1] == "access-1"
    assert main(["whoami", "--profile", "moon"]) == USAGE
    assert "factory, lab" in capsys.readouterr().err


def test_a_sign_in_is_sent_to_its_own_server_only(server: Any) -> None:
    main(["login", "--server", url(server)])
    other = f"http://localhost:{server.server_port}"
    assert main(["whoami", "--server", other]) == AUTH_NEEDED
    assert server.state["seen"][-1] == ""


def test_a_damaged_file_is_no_traceback(server: Any) -> None:
    main(["login", "--server", url(server)])
    profiles.path().write_text("{")
    assert main(["whoami"]) == ERROR


def test_a_command_of_nobody_says_how_to_sign_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("FLEETD_SERVER", "FLEETD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(["devices", "list"]) == AUTH_NEEDED
    assert "fleetctl login --server" in capsys.readouterr().err
