"""S39: what signs releases is not on the platform.

Given the targets key, when looking for its private half in the database, files, environment and
memory of processes that served an upload, then it is not there; the online keys for snapshot and
timestamp cannot create an installable file.
"""

import os
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from fleetd_agent.downloads import build_opener
from fleetd_agent.trust import Repository
from tuf.api.metadata import Metadata

from apps.updates.domain import signing as rules
from apps.updates.selectors.signing import find_repository
from apps.updates.services.signing import private_key
from fleetctl.sign.keys import OfflineKey
from fleetctl.sign.metadata import renewed, sign, text_of
from tests.bars.signed_devices import World, world
from tests.updates.conftest import fleet

__all__ = ["fleet", "world"]


def forms_of(key: OfflineKey) -> list[bytes]:
    """How a private half could lie somewhere."""
    raw = key.private.private_bytes_raw()
    return [raw, raw.hex().encode(), raw.hex().upper().encode()]


def test_s39_the_private_halves_are_in_no_table_file_or_environment(world: World) -> None:
    world.offers(world.release("1.0.0"))
    secrets = [form for key in (*world.holder.root_keys, *world.holder.targets_keys)
               for form in forms_of(key)]  # fmt: skip
    places = [_database(), repr(os.environ).encode()]
    places += [path.read_bytes() for path in Path(world.folder).rglob("*") if path.is_file()]
    assert any(b"snapshot" in place for place in places)
    for place in places:
        assert not any(secret in place for secret in secrets)


def test_s39_the_platform_keeps_its_own_keys_sealed(world: World) -> None:
    repository = find_repository(world.alice.organization_id)
    assert repository is not None
    stored = _database()
    for name in ("snapshot", "timestamp", "instruction"):
        raw = private_key(world.alice, repository, name)
        assert raw not in stored
        assert raw.hex().encode() not in stored


def test_s39_the_online_keys_make_no_file_that_a_device_installs(world: World) -> None:
    """An intruder has the database, the storage and all that the platform can sign with."""
    device = world.device()
    offer = world.offers(world.release("1.0.0"))[0]
    repository = find_repository(world.alice.organization_id)
    assert repository is not None
    stolen = {
        name: private_key(world.alice, repository, name)
        for name in ("snapshot", "timestamp", "instruction")
    }
    for key in stolen.values():
        targets = renewed(world.holder.targets)
        evil = targets.signed.targets[offer.components[0].target_path]
        evil.hashes["sha256"] = "6" * 64
        sign(targets, [OfflineKey(Ed25519PrivateKey.from_private_bytes(key))])
        _put_before_clients(world, text_of(targets), stolen)
        device.repository = Repository(world.folder / key.hex()[:8], build_opener())
        part = replace(offer.components[0], sha256="6" * 64)
        assert device.refuses(replace(offer, components=(part,))) == "metadata_refused"


def _put_before_clients(world: World, targets: str, stolen: dict[str, bytes]) -> None:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    snapshot = rules.make_snapshot(50, targets, stolen["snapshot"], now)
    timestamp = rules.make_timestamp(50, snapshot, stolen["timestamp"], now)
    version = Metadata.from_bytes(targets.encode()).signed.version
    world.line.files |= {
        f"/metadata/{version}.targets.json": targets.encode(),
        "/metadata/50.snapshot.json": snapshot.encode(),
        "/metadata/timestamp.json": timestamp.encode(),
    }


def _database() -> bytes:
    """All rows that this connection sees of all tables, as text."""
    parts = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" AS t')
            parts += [row[0] for row in cursor.fetchall()]
    return "\n".join(parts).encode()
