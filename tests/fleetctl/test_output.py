"""What tables and objects look like on a terminal."""

from types import SimpleNamespace

import pytest

from fleetctl import holds
from fleetctl.cli import main
from fleetctl.errors import CONFLICT, Refused
from fleetctl.output import show_list, show_one

NASTY = "\x1b[2J\x9b31m\u202epump"


@pytest.mark.parametrize(
    "value", [NASTY, [NASTY], {"facts": NASTY}, {NASTY: "pump"}, [{"name": NASTY}]]
)
def test_what_a_device_says_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str], value: object
) -> None:
    show_one({"ip_addresses": value}, "table")
    show_list([{"ip_addresses": value}], [("IP", "ip_addresses")], "table")
    shown = capsys.readouterr().out
    assert "pump" in shown
    assert not set(shown) & {"\x1b", "\x9b", "\u202e"}


def test_what_a_device_reported_cannot_steer_the_terminal_of_who_asks_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict holds the device's own message."""
    reason = {"holds": False, "code": "deployment", "words": NASTY}
    found = {"explanations": [{"rollout_name": NASTY, "verdict": NASTY, "reasons": [reason]}]}
    server = SimpleNamespace(get=lambda *_, **__: found)
    monkeypatch.setattr(holds, "connect", lambda _: server)
    assert main(["devices", "why", "1"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("pump") == 3
    assert not set(shown) & {"\x1b", "\x9b", "\u202e"}


def test_an_error_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise Refused(409, f"In use by {NASTY}\n  and more")

    monkeypatch.setattr(holds, "connect", refuse)
    assert main(["devices", "why", "1"]) == CONFLICT
    shown = capsys.readouterr().err
    assert shown.endswith("pump\n  and more\n")
    assert not set(shown) & {"\x1b", "\x9b", "\u202e"}


def test_an_object_shows_its_parts_in_lines_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counts = {"total": 30, "failed": 1, "note": ""}
    phases = [{"name": "Phase 1", "counts": counts, "gate": {"kind": "strict", "conditions": []}}]
    show_one({"name": "App", "counts": counts, "phases": phases, "excluded": None}, "table")
    assert capsys.readouterr().out.splitlines() == [
        "name      App",
        "counts    total 30, failed 1",
        "phases",
        "  - name    Phase 1",
        "    counts  total 30, failed 1",
        "    gate    kind strict",
        "excluded  -",
    ]
