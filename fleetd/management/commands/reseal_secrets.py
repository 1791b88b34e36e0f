"""Changes the key that seals secrets: `manage.py reseal_secrets --new-key`."""

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.core.sealing import CannotUnseal
from apps.enrollment.errors import AuthorityMissing
from apps.enrollment.services.authority import reseal_keys
from fleetd.resealing import reseal_all
from fleetd.settings.sealing_keys import LOOK_AGAIN_SECONDS, KeyRing, KeysNotInAFile, new_key

# Every process has read the new key by then.
SETTLE_SECONDS = 2 * LOOK_AGAIN_SECONDS
# No request that began with the old keys is still under way by then.
FORGET_AFTER_SECONDS = 60.0


class Command(BaseCommand):
    """Requests go on meanwhile. Repeating it changes nothing."""

    help = "Seals every secret of the database again with the first of FLEETD_ENCRYPTION_KEYS."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to do with the keys' file before and after."""
        parser.add_argument(
            "--new-key", action="store_true", help="first put a fresh key before the others"
        )
        parser.add_argument(
            "--forget-old",
            action="store_true",
            help="then remove all keys but the first; a minute after the new one at the earliest",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Fails, and forgets no key, while something is not sealed with the first one."""
        ring: KeyRing = settings.ENCRYPTION_KEYS
        try:
            if options["new_key"]:
                ring.store((new_key(), *ring.keys(at_once=True)))
                time.sleep(SETTLE_SECONDS)
            self._reseal()
            if options["forget_old"]:
                self._forget_old(ring)
        except KeysNotInAFile as error:
            raise CommandError(str(error)) from error
        names = ", ".join(key.id for key in ring.keys(at_once=True))
        self.stdout.write(f"keys, the first one seals: {names}")

    def _forget_old(self, ring: KeyRing) -> None:
        """A request that began before the new key was known may still store with the old one."""
        if ring.settled_seconds() < FORGET_AFTER_SECONDS:
            raise CommandError(
                f"the keys changed just now: forget the old one after {FORGET_AFTER_SECONDS:.0f} s"
            )
        ring.store(ring.keys(at_once=True)[:1])

    def _reseal(self) -> None:
        try:
            found = reseal_all()
            self.stdout.write(f"keys of the certificate authority: {reseal_keys()} sealed again")
        except (CannotUnseal, AuthorityMissing) as error:
            raise CommandError(f"cannot open a secret: {error}") from error
        for one in found:
            name = f"{one.column.model}.{one.column.field}"
            self.stdout.write(f"{name}: {one.changed} sealed again, {one.left} left")
        if any(one.left for one in found):
            raise CommandError("some secrets changed all the time: run it again")
