"""S70: audit and logs tell what happened, and no secret.

Given secrets, tokens, passwords and private keys in requests, then audit and logs hold only masked
forms; newline and ANSI in values cannot forge a line; A's auditor sees only A; retention deletes
only whole checkpointed segments.
"""

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.test import Client

from apps.accounts.domain.secrets import new_secret
from apps.audit.models import AuditEntry
from apps.audit.services import checkpoints as signing
from apps.audit.services.checkpoints import create_checkpoints
from apps.audit.services.entries import record
from apps.audit.services.pruning import prune_entries
from apps.core.actors import Actor, system_actor
from apps.core.authz import Role
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from fleetd.settings.logs import logging_config
from tests import factories
from tests.audit.support import as_owner, audit, own_places, write_entries
from tests.bars.audited import browser
from tests.factories import Cast
from tests.rest.conftest import Api

PEM = (
    Ed25519PrivateKey.generate()
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
CANARIES = {
    "key": new_secret("pat"),
    "service token": new_secret("svc"),
    "enrollment token": new_secret("enr"),
    "webhook secret": "whsec_c2VjcmV0IG9mIGEgY2FuYXJ5",
    "access token": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmVkLWNhbmFyeQ",
    "private key": PEM,
    "authenticator": "otpauth://totp/fleetd:canary?secret=JBSWY3DPEHPK3PXP",
}
PASSWORD = "canary password 7301"
Logged = Callable[[], str]


def parts(secret: str) -> list[str]:
    """The secret, or of one over several lines its telling one."""
    return [secret.splitlines()[1]] if "\n" in secret else [secret]


@pytest.fixture(params=["json", "console"])
def logged(request: pytest.FixtureRequest) -> Iterator[Logged]:
    """Everything that is logged, as this form of log writes it."""
    config = logging_config("DEBUG", request.param)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    line = dict(config["formatters"]["line"])
    handler.setFormatter(line.pop("()")(**line))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel("INFO")
    yield stream.getvalue
    root.removeHandler(handler)
    root.setLevel(level)


def trail(organization_id: Any) -> str:
    with tenant(organization_id):
        return str(list(AuditEntry.objects.for_org(organization_id).values()))


@pytest.mark.django_db
@pytest.mark.parametrize("kind", CANARIES)
def test_s70_secrets_in_requests_are_masked(
    kind: str, acme: Cast, alice_member: Membership, logged: Logged
) -> None:
    secret = CANARIES[kind]
    key = factories.api_key(alice_member)
    api = Api(key)
    one_line = secret.replace("\n", " ")[:190]
    api.patch(f"devices/{acme.device.id}", name=one_line[:100])
    api.post(f"devices/{acme.device.id}:quarantine", reason=one_line)
    api.post("device-groups", name=one_line[:100])
    api.get("devices", q=secret, token=secret)
    api.get(f"devices/{secret[:60]}")
    api.send("POST", "device-groups", {"name": "x", "password": secret, "token": {"deep": secret}})
    Api(secret.replace("\n", "")).get("devices")
    Client(raise_request_exception=False).get("/setup", {"code": secret})
    text = trail(acme.id) + logged()
    assert "devices.quarantine_device" in text
    assert '"call"' in text or "call " in text
    for canary in (*parts(secret), key):
        assert canary not in text


@pytest.mark.django_db
def test_s70_passwords_are_not_kept(acme: Cast, alice_member: Membership, logged: Logged) -> None:
    Api().post("auth/login", email=alice_member.user.email, password=PASSWORD)
    Client().post("/accounts/login", {"login": alice_member.user.email, "password": PASSWORD})
    Client().post("/accounts/login", {"login": "nobody@acme.test", "password": PASSWORD})
    assert PASSWORD not in trail(acme.id) + logged()


@pytest.mark.django_db
def test_s70_whatever_a_caller_passes_is_masked(acme: Cast, alice: Actor) -> None:
    with tenant(acme.id):
        record(
            alice,
            "test.write",
            changes={
                "note": [f"before {CANARIES['key']}", f"after {PEM}"],
                "headers": {"Authorization": PASSWORD, "x": [{"otp": 730155}]},
                CANARIES["webhook secret"]: "a name",
                "raw": PEM.encode(),
            },
        )
    text = trail(acme.id)
    for secret in (*CANARIES.values(), PASSWORD, "730155"):
        assert not any(part in text for part in parts(secret))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "evil", ["\n2026-11-23 [info] forged", "\r\nforged", "\x1b[2J\x1b[31mforged", "\u202egro"]
)
def test_s70_no_value_forges_a_line(
    evil: str, acme: Cast, alice: Actor, alice_member: Membership, logged: Logged
) -> None:
    device = factories.device(acme.id, f"door{evil}")
    with tenant(acme.id):
        record(alice, "test.write", device, changes={"name": [evil, "b"]})
        entry = AuditEntry.objects.for_org(acme.id).latest("sequence")
    assert entry.object_label.isprintable()
    client = browser(alice_member)
    pages = [client.get("/audit").content, client.get(f"/audit/{entry.id}").content]
    files = [client.get(f"/audit/export/{kind}").content for kind in ("csv", "ndjson")]
    for content in (*pages, *files):
        assert evil not in content.decode()
    assert len(files[1].decode().splitlines()) == entry.sequence
    Client().get(f"/devices/{evil}", headers={"User-Agent": "x"})
    Api(factories.api_key(alice_member)).get(f"devices/{evil.replace('/', '')}")
    for line in logged().splitlines():
        assert not line.startswith(("forged", "2026-11-23 [info] forged"))
        assert "\u202e" not in line


@pytest.mark.django_db
def test_s70_an_auditor_sees_the_own_organization_only(
    acme: Cast, globex: Cast, settings: Any, tmp_path: Path
) -> None:
    own_places(settings, tmp_path)
    auditor = factories.membership(acme.id, factories.user(), Role.AUDITOR)
    for cast in (acme, globex):
        write_entries(cast.id, 3, f"{cast.organization.slug}.write")
        with tenant(cast.id):
            create_checkpoints(system_actor(cast.id))
    with tenant(globex.id):
        foreign = AuditEntry.objects.for_org(globex.id).latest("sequence")
    api, client = Api(factories.api_key(auditor)), browser(auditor)
    assert api.get("audit-entries").json()["items"][0]["action"] == "acme.write"
    assert len(api.get("audit-checkpoints").json()["items"]) == 1
    assert api.get(f"audit-entries/{foreign.id}").status_code == 404
    assert client.get(f"/audit/{foreign.id}").status_code == 404
    for query in ("", "?action=globex", f"?object_id={foreign.object_id}", "?actor=fleetd"):
        for address in ("/audit", "/audit/export/csv", "/audit/export/ndjson"):
            page = client.get(f"{address}{query}")
            assert page.status_code == 200
            assert "globex.write" not in page.content.decode()


@pytest.mark.django_db(transaction=True)
def test_s70_retention_deletes_whole_checkpointed_segments_only(
    acme: Cast, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_places(settings, tmp_path)
    monkeypatch.setattr(signing, "SEGMENT", 5)
    write_entries(acme.id, 12)
    with tenant(acme.id):
        create_checkpoints(system_actor(acme.id))
        times = dict(AuditEntry.objects.for_org(acme.id).values_list("sequence", "time"))
    with as_owner(settings), tenant(acme.id):
        prune_entries(system_actor(acme.id), before=times[9])
    with tenant(acme.id):
        left = AuditEntry.objects.for_org(acme.id).order_by("sequence")
        assert list(left.values_list("sequence", flat=True)) == list(range(6, 14))
    assert audit("verify", "--organization", "acme")[0] == 0
