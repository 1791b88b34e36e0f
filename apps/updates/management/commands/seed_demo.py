"""`manage.py seed_demo`: what the demonstration shows, made through the product's own services.

The first call makes an organization, its administrator, an enrollment token for the simulated
fleet, artifacts and releases, holds the key ceremony in a folder of the data directory, signs the
releases, and ends the insecure trial mode. `--rollout N` waits until N simulated devices have
joined and starts a rollout. Each prints one JSON object; called again, they change nothing and say
so.
"""

import io
import json
import secrets
import time
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from tuf.api.metadata import Metadata, Root, Targets

from apps.core.actors import Actor, Call, Source
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.enrollment.services.tokens import create_enrollment_token
from apps.organizations.selectors import actor_for_user
from apps.organizations.services.settings import update_organization_settings
from apps.organizations.services.setup import create_organization
from apps.updates.domain.plan import simple_plan
from apps.updates.selectors.releases import list_releases
from apps.updates.selectors.rollouts import count_target_devices, list_rollouts
from apps.updates.selectors.signing import (
    ALLOW_UNSIGNED,
    SigningStatus,
    get_release_targets,
    list_unsigned_releases,
)
from apps.updates.services.artifacts import store_artifact
from apps.updates.services.planning import create_rollout
from apps.updates.services.releases import create_release
from apps.updates.services.rollouts import start_rollout
from apps.updates.services.signing import prepare_signing, publish_signing_metadata
from apps.updates.types import NewComponent, Target
from fleetctl.sign.ceremony import first_metadata, release_metadata
from fleetctl.sign.folder import Folder
from fleetctl.sign.metadata import text_of

ORGANIZATION = "Demo"
EMAIL = "demo@fleetd.local"
TAG = "simulated"
# Only the simulated devices: whoever connects a real machine to the demonstration ships to it
# knowingly.
TARGET = Target(tags=(TAG,))
RELEASE = "Edge tools"
ROLLOUT = "Edge tools to the whole fleet"
PHASES = (5, 25, 50, 100)
WAIT_SECONDS = 180
SCRIPT = b"""#!/bin/sh
# Notes what this machine is and how long it has been up.
uname -srm
uptime
"""
CONFIG = b"""# Settings of the edge tools.
[report]
interval_seconds = %d
"""


class Command(BaseCommand):
    """Makes what the demonstration shows."""

    help = "Makes the demonstration's organization, or starts its rollout."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Takes which step to do."""
        parser.add_argument("--prepare", action="store_true", help="the first step; the default")
        parser.add_argument(
            "--rollout",
            type=int,
            nargs="?",
            const=1,
            metavar="N",
            help="wait for N simulated devices, then start the rollout",
        )

    def handle(self, *, rollout: int | None, **_: Any) -> None:
        """Prints one JSON object."""
        answer = _prepare() if rollout is None else _roll_out(rollout)
        self.stdout.write(json.dumps(answer))


def _prepare() -> dict[str, Any]:
    """Organization, administrator, token and releases, all or nothing."""
    answer = {"organization": ORGANIZATION, "email": EMAIL}
    if _administrator() is not None:
        return {**answer, "is_new": False}
    password = secrets.token_urlsafe(15)
    with transaction.atomic():
        made = create_organization(None, name=ORGANIZATION, email=EMAIL, password=password)
        actor = actor_for_user(made.owner, Call(Source.CLI))
        with tenant(actor.organization_id):
            token = create_enrollment_token(
                actor,
                name="Simulated fleet",
                max_uses=100_000,
                lifetime=timedelta(days=365),
                tags=(TAG,),
            )
            _make_releases(actor)
            _sign_releases(actor)
    return {**answer, "password": password, "enrollment_token": token.secret, "is_new": True}


def _make_releases(actor: Actor) -> None:
    """Two versions: one to be rolled out, and one to try it with."""
    script = store_artifact(actor, name="inspect.sh", file=io.BytesIO(SCRIPT))
    for version, seconds in (("1.0.0", 60), ("1.1.0", 30)):
        config = store_artifact(
            actor, name=f"edge-tools-{version}.conf", file=io.BytesIO(CONFIG % seconds)
        )
        components = [
            NewComponent("inspect", "script", script.id),
            NewComponent("settings", "config", config.id, target="/etc/edge-tools.conf"),
        ]
        create_release(actor, name=RELEASE, version=version, components=components)


def _sign_releases(actor: Actor) -> None:
    """What `fleetctl sign init` and `sign release` do, then the end of the trial mode.

    A demonstration has its signing keys beside its platform, which nobody else should.
    """
    folder = _signing_folder()
    root, targets = first_metadata(folder, _as_fleetctl_reads(prepare_signing(actor)))
    _publish(actor, folder, root, targets)
    for release in reversed(list_unsigned_releases(actor)):
        _, wanted = get_release_targets(actor, release.id)
        described = {
            "release_name": release.name,
            "release_version": release.version,
            "targets": [asdict(target) for target in wanted],
        }
        targets = release_metadata(folder, root, targets, described)
        _publish(actor, folder, None, targets)
    update_organization_settings(actor, {ALLOW_UNSIGNED: False})


def _signing_folder() -> Folder:
    """The folder of keys, with a passphrase of its own, which a start that died may have left."""
    path: Path = settings.LAYOUT.demo_signing
    passphrase = path / "passphrase"
    folder = Folder(path, passphrase)
    folder.create()
    if not passphrase.exists():
        passphrase.touch(mode=0o600)
        passphrase.write_text(secrets.token_urlsafe(24) + "\n")
    return folder


def _as_fleetctl_reads(status: SigningStatus) -> dict[str, Any]:
    """The part of the status that the ceremony needs, with the names of REST."""
    if status.online is None:
        raise CommandError("The platform has no signing keys of its own.")
    keys = {f"{name}_key": {"public_key": public} for name, public in asdict(status.online).items()}
    return {"organization_id": str(status.organization_id), **keys}


def _publish(
    actor: Actor, folder: Folder, root: Metadata[Root] | None, targets: Metadata[Targets]
) -> None:
    roots = [text_of(root)] if root else []
    publish_signing_metadata(actor, roots=roots, targets=text_of(targets))
    if root:
        folder.keep("root", root)
    folder.keep("targets", targets)


def _roll_out(devices: int) -> dict[str, Any]:
    """Starts the rollout, once, as soon as so many simulated devices have joined."""
    actor = _administrator()
    if actor is None:
        raise CommandError("Call seed_demo without --rollout first.")
    with tenant(actor.organization_id):
        existing = [r for r in list_rollouts(actor, PageRequest(1000)).items if r.name == ROLLOUT]
    if existing:
        return {**_described(existing[0]), "is_new": False}
    joined = _wait_for_devices(actor, devices)
    with tenant(actor.organization_id):
        releases = list_releases(actor, PageRequest(1000)).items
        release = next(r for r in releases if (r.name, r.version) == (RELEASE, "1.0.0"))
        rollout = create_rollout(
            actor, name=ROLLOUT, release_id=release.id, target=TARGET, plan=simple_plan(PHASES)
        )
        rollout = start_rollout(actor, rollout.id)
    return {**_described(rollout), "devices": joined, "is_new": True}


def _described(rollout: Any) -> dict[str, Any]:
    return {"rollout_id": str(rollout.id), "state": rollout.state}


def _wait_for_devices(actor: Actor, wanted: int) -> int:
    """How many have joined; fewer than wanted when the time is up, but never none."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with tenant(actor.organization_id):
            joined = count_target_devices(actor, TARGET)
        if joined >= wanted:
            return joined
        if time.monotonic() > deadline:
            if joined:
                return joined
            raise CommandError(f"No simulated device has joined within {WAIT_SECONDS} seconds.")
        time.sleep(0.5)


def _administrator() -> Actor | None:
    """The demonstration's administrator, where there is one."""
    user = get_user_model().objects.filter(email=EMAIL).first()
    return None if user is None else actor_for_user(user, Call(Source.CLI))
