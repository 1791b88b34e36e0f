"""Commands of whoever runs the server: signing keys and service tokens."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.services.service_tokens import find_live_service_token

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_keys_are_listed_and_rotated() -> None:
    first = run("keys", "list")
    assert first.count("active") == 1
    assert first.count("next") == 1
    with pytest.raises(CommandError):
        run("keys", "rotate")
    assert "signing with" in run("keys", "rotate", "--at-once")


def test_service_tokens_are_made_listed_and_revoked() -> None:
    made = run("service_token", "create", "--name", "gateway", "--expires-days", "30")
    secret = made.split()[-1]
    assert find_live_service_token(secret)
    listed = run("service_token", "list")
    assert "gateway" in listed
    assert secret not in listed
    run("service_token", "revoke", listed.split()[0])
    assert find_live_service_token(secret) is None
    assert "revoked" in run("service_token", "list")
    for arguments in (("revoke", "x"), ("create", "--name", "x", "--expires-days", "400")):
        with pytest.raises(CommandError):
            run("service_token", *arguments)
