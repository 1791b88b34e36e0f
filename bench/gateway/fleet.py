"""Devices with certificates, made in bulk. They share one key, which only saves time here."""

import json
from datetime import timedelta
from pathlib import Path

from apps.core import clock
from apps.core.actors import system_actor
from apps.core.tenancy import tenant
from apps.devices.models import Device, DeviceState
from apps.devices.services.counts import count_moves
from apps.enrollment.domain import ca
from apps.enrollment.models import Certificate
from apps.enrollment.services.authority import load_authority
from apps.organizations.models import Organization

BATCH = 1000


def make_fleet(count: int, folder: Path) -> list[Path]:
    """Makes an organization with so many devices; answers files of 500 certificates each."""
    now = clock.now()
    organization = Organization.objects.create(name="Bench", slug="bench", created_at=now)
    authority, key = load_authority(), ca.new_key()
    (folder / "key.pem").write_text(ca.key_pem(key))
    (folder / "root.pem").write_text(ca.pem(authority.root))
    chains = []
    for start in range(0, count, BATCH):
        devices = [
            Device(
                organization_id=organization.id,
                lifecycle="active",
                name=f"device-{number:05}",
                hardware_id=f"hardware-{number}",
                created_at=now,
            )
            for number in range(start, min(start + BATCH, count))
        ]
        signed = [_sign(authority, key, device, now) for device in devices]
        chains += [chain for _, chain in signed]
        with tenant(organization.id):
            Device.objects.for_org(organization.id).bulk_create(devices)
            DeviceState.objects.for_org(organization.id).bulk_create(
                [DeviceState(organization_id=organization.id, device=d) for d in devices]
            )
            Certificate.objects.for_org(organization.id).bulk_create([c for c, _ in signed])
            moves = [(None, ("active", "never_seen"))] * len(devices)
            count_moves(system_actor(organization.id), moves)
    return _files(chains, folder)


def _sign(authority: ca.Authority, key: ca.Key, device: Device, now: object) -> tuple[object, str]:
    identity = ca.Identity(authority.installation_id, device.organization_id, device.id)
    life = timedelta(days=30)
    leaf, chain = ca.sign_device(authority, key.public_key(), identity, now, life)  # type: ignore[arg-type]
    row = Certificate(
        organization_id=device.organization_id,
        device=device,
        serial=ca.serial_text(leaf),
        public_key_hash=ca.public_key_hash(key.public_key()),
        chain_pem="",
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
    )
    return row, chain


def _files(chains: list[str], folder: Path) -> list[Path]:
    files = []
    for start in range(0, len(chains), 500):
        file = folder / f"chains-{start}.json"
        file.write_text(json.dumps(chains[start : start + 500]))
        files.append(file)
    return files
