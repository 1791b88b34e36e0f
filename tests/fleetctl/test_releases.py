"""fleetctl releases, against the application itself."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from apps.core.actors import Actor
from fleetctl import releases, rollouts, verbs
from fleetctl.cli import main
from fleetctl.errors import CONFLICT, USAGE
from tests import factories
from tests.fleetctl.test_manifests import Door
from tests.rest.conftest import Api
from tests.updates.conftest import make_release

PROMOTE = ["releases", "promote", "hello@1.0.0", "--channel", "stable"]


class Client(Door):
    """The same with lists."""

    def pages(self, path: str, limit: int, **query: Any) -> Iterator[dict[str, Any]]:
        """The first page, which is all that there is here."""
        given = {name: value for name, value in query.items() if value}
        yield from self.get(path, page_size=limit, **given)["items"]

    def delete(self, path: str) -> None:
        """A DELETE."""
        response = self.api.delete(path)
        if response.status_code >= 300:
            self._read(response)


@pytest.fixture
def door(
    alice_member: Any, alice: Actor, tmp_path: Any, settings: Any, monkeypatch: Any, in_acme: None
) -> Door:
    """Acme with a release, as alice's command line reaches it."""
    settings.STORAGE_URL = f"file://{tmp_path}/artifacts"
    make_release(alice)
    found = Client(Api(factories.api_key(alice_member)))
    for module in (releases, rollouts, verbs):
        monkeypatch.setattr(module, "connect", lambda _: found)
    return found


@pytest.mark.usefixtures("door")
def test_a_release_is_promoted_by_its_name_and_the_channels_are_listed(capsys: Any) -> None:
    assert main([*PROMOTE, "--reason", "a quiet week"]) == 0
    capsys.readouterr()
    assert main(["releases", "channels", "--name", "hello"]) == 0
    title, line = capsys.readouterr().out.splitlines()
    assert title.split()[:3] == ["NAME", "CHANNEL", "VERSION"]
    assert line.split()[:3] == ["hello", "stable", "1.0.0"]
    assert "a quiet week" in line


@pytest.mark.usefixtures("door")
def test_a_rollout_is_planned_for_what_a_channel_points_at(capsys: Any) -> None:
    main(PROMOTE)
    capsys.readouterr()
    words = ["--name", "All", "--release", "hello@stable", "-o", "json"]
    assert main(["rollouts", "create", *words]) == 0
    assert json.loads(capsys.readouterr().out)["release_version"] == "1.0.0"
    assert main(["rollouts", "plan", "--name", "All", "--release", "hello@stable"]) == 0
    assert "2 of 2 devices would update" in capsys.readouterr().out


@pytest.mark.usefixtures("door")
def test_a_closed_channel_is_gone_and_its_history_is_not(capsys: Any) -> None:
    main(PROMOTE)
    close = ["releases", "close-channel", "hello@stable", "--reason", "nobody follows it"]
    assert main(close) == 0
    capsys.readouterr()
    assert main(["releases", "channels", "--history"]) == 0
    assert "stable" in capsys.readouterr().out
    assert main(close) == USAGE
    assert "there is no channel hello@stable" in capsys.readouterr().err


@pytest.mark.usefixtures("door")
def test_a_release_that_is_not_there_is_named(capsys: Any) -> None:
    words = ["releases", "promote", "hello@9.9.9", "--channel", "stable"]
    assert main(words) == USAGE
    assert "there is no release hello@9.9.9" in capsys.readouterr().err


@pytest.mark.usefixtures("door")
def test_a_release_is_removed_unless_something_uses_it(door: Client, capsys: Any) -> None:
    release = door.get("releases")["items"][0]["id"]
    main(PROMOTE)
    assert main(["releases", "rm", release, "--yes"]) == CONFLICT
    assert "channel stable" in capsys.readouterr().err
    main(["releases", "close-channel", "hello@stable", "--reason", "nobody follows it"])
    assert main(["releases", "rm", release, "--yes"]) == 0
    assert door.get(f"releases/{release}")["files_removed_at"]


@pytest.mark.usefixtures("door")
def test_a_clean_up_says_what_would_go_and_removes_it(capsys: Any) -> None:
    assert main(["releases", "clean-up"]) == 0
    assert "size bytes      0" in capsys.readouterr().out
    assert main(["releases", "clean-up", "--now", "--yes", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["releases"] == []
    assert main(["releases", "clean-up", "--now"]) == USAGE, "nobody said yes"
