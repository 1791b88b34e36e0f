"""S41, at the key holder's terminal: a server that lies gets nothing signed but what was asked for.

Given the keys' holder, who extends the root or signs a release, when the server names keys, an
organization or paths of its own, then `fleetctl sign` refuses and publishes nothing.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.core.tenancy import tenant
from fleetctl.client import Client
from tests.bars.signing_server import Customer, customer
from tests.updates.conftest import make_release

__all__ = ["customer"]

THEIRS = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
Lie = Callable[[Any], None]


def other_key(name: str) -> Lie:
    """The server names a key that somebody else holds."""
    return lambda status: status[f"{name}_key"].update(public_key=THEIRS)


def other_organization(status: Any) -> None:
    """The root would be another organization's."""
    status["organization_id"] = "01a20b60-0000-7000-8000-000000000000"


def first(**values: Any) -> Lie:
    """The first file of a release is called otherwise."""
    return lambda answer: answer["targets"][0].update(values)


ROOTS = {
    **{name: other_key(name) for name in ("snapshot", "timestamp", "instruction")},
    "organization": other_organization,
}
RELEASES = {
    "a path of another release": first(path="hello/0.9.0/hello"),
    "a part of more": first(count=2),
    "another place": first(position=1),
    "no description": first(description="{}"),
    "no JSON": first(description="{"),
    "no length": first(length="many"),
}


def lying(monkeypatch: pytest.MonkeyPatch, about: str, lie: Lie) -> list[str]:
    """Changes one answer on its way; what the command sends is noted."""
    get, post, sent = Client.get, Client.post, list[str]()

    def changed(client: Client, path: str, *arguments: Any, **values: Any) -> Any:
        answer = get(client, path, *arguments, **values)
        if path.endswith(about):
            lie(answer)
        return answer

    def noted(client: Client, path: str, *arguments: Any, **values: Any) -> Any:
        sent.append(path)
        return post(client, path, *arguments, **values)

    monkeypatch.setattr(Client, "get", changed)
    monkeypatch.setattr(Client, "post", noted)
    return sent


def test_s41_the_key_holder_signs_nothing_that_was_not_asked_for(
    customer: Customer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tenant(customer.acme.id):
        make_release(customer.alice, "1.0.0")
    assert customer.sign("init") == 0
    lies = [("signing", lie, ["rotate"]) for lie in ROOTS.values()]
    lies += [("/targets", lie, ["release", "hello", "1.0.0"]) for lie in RELEASES.values()]
    for about, lie, command in lies:
        with monkeypatch.context() as patched:
            sent = lying(patched, about, lie)
            assert customer.sign(*command, "--yes") != 0, command
            assert sent == []
            assert "the server" in capsys.readouterr().err
    assert customer.sign("rotate", "--yes") == 0
    assert customer.sign("release", "hello", "1.0.0", "--yes") == 0
    assert customer.sign("rotate", "--new-online-keys", "--yes") == 0
    assert json.loads((customer.keys / "root.json").read_text())["signed"]["version"] == 3
