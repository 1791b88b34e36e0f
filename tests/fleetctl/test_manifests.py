"""fleetctl and manifests: against the REST door itself."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from apps.updates.services.artifacts import store_artifact
from fleetctl import manifests, rollouts
from fleetctl.cli import main
from fleetctl.client import explain
from fleetctl.errors import USAGE, Refused
from tests import factories
from tests.rest.conftest import Api
from tests.updates.conftest import make_release

SMALL = """\
apiVersion: fleet/v1
kind: Deployment
metadata: {name: Say hello}
spec:
  selector: {all: true}
  strategy: {type: Canary, canary: {steps: [{weight: 50}, {weight: 100}]}}
  template: {spec: {release: {name: hello, version: 1.0.0}}}
"""


class Door:
    """The client of the command line, whose requests go to the application at once."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def get(self, path: str, **query: Any) -> Any:
        """A GET."""
        return self._read(self.api.get(path, **query))

    def post(self, path: str, body: Any = None) -> Any:
        """A POST."""
        return self._read(self.api.send("POST", path, body or {}))

    def _read(self, response: Any) -> Any:
        if response.status_code < 300:
            return response.json()
        problem = response.json()
        raise Refused(response.status_code, explain(400, problem), problem.get("metadata"))


@pytest.fixture
def door(
    alice_member: Any, alice: Any, tmp_path: Path, settings: Any, monkeypatch: Any, in_acme: None
) -> Door:
    """Acme with a release, as alice's command line reaches it."""
    settings.STORAGE_URL = f"file://{tmp_path}/artifacts"
    make_release(alice)
    found = Door(Api(factories.api_key(alice_member)))
    for module in (manifests, rollouts):
        monkeypatch.setattr(module, "connect", lambda _: found)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The manifest in a file."""
    path = tmp_path / "rollout.yaml"
    path.write_text(SMALL)
    return path


@pytest.mark.usefixtures("door")
def test_a_dry_run_shows_the_phases_with_their_devices(file: Path, capsys: Any) -> None:
    assert main(["rollouts", "plan", "-f", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:5] for line in lines[1:3]] == [
        ["Phase", "1", "waiting", "50", "1"],
        ["Phase", "2", "waiting", "100", "1"],
    ]
    assert "2 of 2 devices would update" in lines


def test_a_dry_run_shows_the_gates_and_whom_its_plan_leaves_out(
    door: Door, acme: Any, file: Path, capsys: Any
) -> None:
    factories.device(acme.id, "ahead", installed={"hello": "1.1.0"})
    names = door.get("releases")["items"][0]["components"]
    assert [each["name"] for each in names] == ["hello"]
    assert main(["rollouts", "plan", "-f", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "halts at the first failure" in shown
    assert "1  have a later version" in shown
    down = SMALL + "  installation: {allowDowngrade: true}\n"
    file.write_text(down)
    assert main(["rollouts", "plan", "-f", str(file)]) == 0
    assert "3 of 3 devices would update" in capsys.readouterr().out
    words = ["--name", "All", "--release", "hello@1.0.0", "--statistical"]
    assert main(["rollouts", "plan", *words]) == 0
    assert "by statistics: 1 % may fail, 5 % may not" in capsys.readouterr().out


def test_a_dry_run_says_that_a_release_would_be_made(
    door: Door, file: Path, alice: Any, capsys: Any
) -> None:
    digest = store_artifact(alice, name="b.sh", file=io.BytesIO(b"echo b")).sha256
    part = f"{{name: b, version: 2.0.0, type: script, checksum: sha256:{digest}}}"
    file.write_text(SMALL.replace("release: {name: hello, version: 1.0.0}", f"artifacts: [{part}]"))
    assert main(["rollouts", "plan", "-f", str(file)]) == 0
    assert "the release b 2.0.0 would be made too" in capsys.readouterr().out
    assert [each["name"] for each in door.get("releases")["items"]] == ["hello"]


def test_what_is_exported_can_be_sent_again(
    door: Door, file: Path, capsys: Any, monkeypatch: Any
) -> None:
    assert main(["rollouts", "create", "-f", str(file)]) == 0
    rollout = door.get("rollouts")["items"][0]
    capsys.readouterr()
    assert main(["rollouts", "export", rollout["id"]]) == 0
    text = capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert main(["rollouts", "create", "-f", "-"]) == 0
    first, second = door.get("rollouts")["items"]
    assert first["plan"] == second["plan"]
    assert first["plan_hash"] == second["plan_hash"]


@pytest.mark.usefixtures("door")
def test_problems_stand_at_their_lines_as_compilers_write_them(file: Path, capsys: Any) -> None:
    file.write_text(SMALL.replace("weight: 50", "wieght: 50").replace("hello,", "\x1b[31m,"))
    assert main(["rollouts", "create", "-f", str(file)]) == USAGE
    assert f"{file}:7:" in capsys.readouterr().err
    file.write_text(SMALL.replace("weight: 50", "wieght: 50").replace("all:", "al:"))
    assert main(["rollouts", "plan", "-f", str(file)]) == USAGE
    lines = capsys.readouterr().err.splitlines()
    wanted = f"{file}:5:14: spec.selector.al: There is no key 'al' here, did you mean 'all'?"
    assert wanted in lines
    assert any(line.startswith(f"{file}:6:") for line in lines)
    assert "nothing was stored" in lines[-1]


@pytest.mark.usefixtures("door")
def test_a_request_in_json_is_sent_as_before(file: Path, capsys: Any) -> None:
    file.write_text('{"name": "x"}')
    assert main(["rollouts", "create", "-f", str(file)]) != 0
    assert "invalid_manifest" not in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(door: Door, capsys: Any) -> None:
    assert main(["rollouts", "create", "-f", "/no/such.yaml"]) == USAGE
    assert "/no/such.yaml" in capsys.readouterr().err
