"""Upkeep above organizations: signing keys rotate, what has ended is forgotten."""

from contextlib import suppress

from celery import shared_task

from apps.accounts.errors import KeyTooFresh
from apps.accounts.services.signing_keys import maintain_signing_keys
from apps.accounts.services.tokens import forget_old_sign_ins

UPKEEP_TASK = "accounts.keep_up"


@shared_task(name=UPKEEP_TASK, ignore_result=True, soft_time_limit=50, time_limit=60)
def keep_up() -> None:
    """Beat calls it every ten minutes; doing it twice changes nothing."""
    with suppress(KeyTooFresh):  # published less than ten minutes ago: the next round rotates
        maintain_signing_keys()
    forget_old_sign_ins()
