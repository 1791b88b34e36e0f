"""What tables and objects look like on a terminal."""

import pytest

from fleetctl.output import show_list, show_one

NASTY = "\x1b[2J\x9b31m\u202epump"


@pytest.mark.parametrize("value", [NASTY, [NASTY], {"facts": NASTY}, [{"name": NASTY}]])
def test_what_a_device_says_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str], value: object
) -> None:
    show_one({"ip_addresses": value}, "table")
    show_list([{"ip_addresses": value}], [("IP", "ip_addresses")], "table")
    shown = capsys.readouterr().out
    assert "pump" in shown
    assert not set(shown) & {"\x1b", "\x9b", "\u202e"}
