"""S88: secrets at rest are sealed with a key id, and the key changes while requests run."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command
from django.db import connection

from apps.accounts.models import SigningKey
from apps.accounts.services.second_factors import open_secret, seal_secret
from apps.accounts.services.signing_keys import ensure_signing_keys
from apps.core import sealing
from apps.core.sealing import CannotUnseal, SealedColumn, seal, sealed_column, unseal
from apps.core.tenancy import tenant
from apps.devices.models import Device
from apps.enrollment.services import authority
from apps.enrollment.services.authority import (
    ensure_authority,
    load_authority,
    load_gateway_tls,
    root_key_pem,
)
from fleetd.management.commands import reseal_secrets
from fleetd.settings import sealing_keys
from fleetd.settings.sealing_keys import KeyRing, new_key, write_keys
from tests import factories

PURPOSE = "tests.secret"
MEMBER = "tests.member"


@pytest.fixture
def ring(settings, tmp_path, monkeypatch):
    """Keys in a file, and two columns that hold sealed texts: a text, and a member of an object."""
    path = tmp_path / "keys"
    path.write_text(write_keys((new_key(),)))
    settings.ENCRYPTION_KEYS = KeyRing(path=path)
    settings.CA_DIR = tmp_path / "ca"
    settings.CA_CERT_FILE, settings.CA_KEY_FILE = tmp_path / "ca/ca.crt", tmp_path / "ca/ca.key"
    monkeypatch.setattr(sealing, "_COLUMNS", list(sealing.sealed_columns()))
    sealed_column("devices.Device", "serial", purpose=PURPOSE)
    sealed_column("devices.Device", "inventory", purpose=MEMBER, member="secret")
    monkeypatch.setattr(reseal_secrets, "SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(sealing_keys, "LOOK_AGAIN_SECONDS", 0.1)
    return settings.ENCRYPTION_KEYS


def _a_minute_passes(ring):
    long_ago = time.time() - 120
    os.utime(ring._path, (long_ago, long_ago))


def _fill(cast, count):
    with tenant(cast.id):
        template = cast.device
        for number in range(count):
            template.pk, template.name = None, f"sealed-{number}"
            template.id = None
            device = Device(
                organization_id=cast.id,
                name=f"sealed-{number}",
                hardware_id=f"hw-{cast.id}-{number}",
                lifecycle=cast.devices[1].lifecycle,
                created_at=cast.devices[1].created_at,
                serial=seal(f"secret {number}".encode(), purpose=PURPOSE),
                inventory={"secret": seal(b"inner", purpose=MEMBER), "other": 1},
            )
            device.save(force_insert=True)


def _rows(cast):
    with tenant(cast.id):
        return list(Device.objects.for_org(cast.id).filter(name__startswith="sealed-"))


@pytest.mark.django_db(transaction=True)
def test_s88_a_new_key_reaches_every_organization_and_the_old_one_can_be_removed(ring):
    """Given secrets of two organizations sealed with one key, when the key is changed and the old
    one removed, then all of them open, and none with the old key."""
    old = ring.keys()[0]
    casts = [factories.cast("Acme"), factories.cast("Globex")]
    for cast in casts:
        _fill(cast, 3)
    call_command("reseal_secrets", new_key=True, verbosity=0)
    with pytest.raises(CommandError, match="just now"):
        call_command("reseal_secrets", forget_old=True, verbosity=0)
    _a_minute_passes(ring)
    call_command("reseal_secrets", forget_old=True, verbosity=0)
    new = ring.keys(at_once=True)
    assert len(new) == 1
    assert new[0].id != old.id
    for cast in casts:
        rows = _rows(cast)
        assert {unseal(r.serial, purpose=PURPOSE) for r in rows} == {
            f"secret {n}".encode() for n in range(3)
        }
        assert {unseal(r.inventory["secret"], purpose=MEMBER) for r in rows} == {b"inner"}
        assert all(r.inventory["other"] == 1 and old.id not in r.serial for r in rows)


@pytest.mark.django_db(transaction=True)
def test_s88_requests_go_on_while_the_key_changes(ring):
    """Given readers and writers of sealed secrets, when the key is changed under them, then no
    read and no write fails and no write is lost."""
    cast = factories.cast("Acme")
    _fill(cast, 40)
    written: dict[str, bytes] = {}
    stopping = threading.Event()

    def request() -> None:
        number = 0
        try:
            while not stopping.is_set():
                with tenant(cast.id):
                    for row in _rows(cast):
                        unseal(row.serial, purpose=PURPOSE)
                number += 1
                name, secret = f"sealed-{number % 40}", f"new {number}".encode()
                with tenant(cast.id):
                    Device.objects.for_org(cast.id).filter(name=name).update(
                        serial=seal(secret, purpose=PURPOSE)
                    )
                written[name] = secret
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        requests = pool.submit(request)
        try:
            for _ in range(3):
                call_command("reseal_secrets", new_key=True, verbosity=0)
        finally:
            stopping.set()
        requests.result(30)
    assert written
    _a_minute_passes(ring)
    call_command("reseal_secrets", forget_old=True, verbosity=0)
    assert len(ring.keys(at_once=True)) == 1
    opened = {row.name: unseal(row.serial, purpose=PURPOSE) for row in _rows(cast)}
    assert {name: opened[name] for name in written} == written


@pytest.mark.django_db(transaction=True)
def test_s88_the_old_key_stays_while_something_needs_it(ring):
    """Given a secret that no key opens, when the keys are changed, then the command fails and
    removes none."""
    cast = factories.cast("Acme")
    _fill(cast, 1)
    ring.store((new_key(),))
    assert ring.keys(at_once=True)
    _a_minute_passes(ring)
    with pytest.raises(CommandError, match="cannot open a secret"):
        call_command("reseal_secrets", new_key=True, forget_old=True, verbosity=0)
    assert len(ring.keys(at_once=True)) == 2


def _change_keys(ring):
    call_command("reseal_secrets", new_key=True, verbosity=0)
    _a_minute_passes(ring)
    call_command("reseal_secrets", forget_old=True, verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_s88_the_authority_and_peoples_factors_survive_a_change_of_keys(ring, alice_member):
    """Given the CA's keys, a signing key and an authenticator app, when the key is changed, then
    each lies there sealed with the new key's id, and works as before."""
    ensure_authority()
    ensure_signing_keys()
    seed = seal_secret("JBSWY3DPEHPK3PXP")
    factor = Authenticator.objects.create(
        user=alice_member.user, type=Authenticator.Type.TOTP, data={"secret": seed}
    )
    before = load_gateway_tls()
    _change_keys(ring)
    current = ring.keys(at_once=True)[0].id
    authority._read.cache_clear()
    assert load_gateway_tls() == before
    keys = list(authority.settings.CA_DIR.glob("*.key"))
    assert len(keys) == 3
    texts = [path.read_text() for path in keys]
    factor.refresh_from_db()
    texts += [
        factor.data["secret"],
        *SigningKey.objects.values_list("sealed_private_key", flat=True),
    ]
    assert len(texts) > 4
    assert all(text.startswith(f"v1.{current}.") for text in texts)
    assert open_secret(factor.data["secret"]) == "JBSWY3DPEHPK3PXP"
    assert b"PRIVATE KEY" in root_key_pem()


@pytest.mark.django_db(transaction=True)
def test_s88_keys_that_lie_open_are_sealed_on_the_next_start(ring):
    """Given an installation whose CA keys are plain PEM, when it starts, then they are sealed; a
    key that the operator has brought is left alone."""
    ensure_authority()
    path = authority.settings.CA_DIR / "ca.key"
    brought = path.parent.parent / "brought.key"
    brought.write_bytes(authority._key_pem(path))
    path.write_bytes(authority._key_pem(path))
    ensure_authority()
    assert path.read_text().startswith("v1.")
    authority.settings.CA_KEY_FILE = brought
    authority._read.cache_clear()
    ensure_authority()
    load_authority()
    assert "PRIVATE KEY" in brought.read_text()


def test_s88_a_sealed_text_names_its_key_and_not_its_secret(ring):
    """Given a secret, when it is sealed, then the text names the key and shows nothing else."""
    text = seal(b"plain secret", purpose=PURPOSE)
    assert text.startswith(f"v1.{ring.keys()[0].id}.")
    assert "plain" not in text
    with pytest.raises(CannotUnseal):
        unseal(text, purpose="another purpose")


def test_s88_columns_are_registered_once(ring):
    """Given an app that starts twice in a process, when it registers its column again, then the
    registry holds it once."""
    sealed_column("devices.Device", "serial", purpose=PURPOSE)
    assert sealing.sealed_columns().count(SealedColumn("devices.Device", "serial", PURPOSE)) == 1
