"""The worker's application: `celery -A fleetd worker -B`."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import Any

import celery.beat
from celery import Celery
from celery.signals import (
    beat_embedded_init,
    celeryd_init,
    worker_init,
    worker_process_init,
    worker_ready,
)
from django.conf import settings

from fleetd.settings.env import SettingError
from fleetd.settings.startup import refuse_without_secrets

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetd.settings.base")

_PR_SET_PDEATHSIG = 1

# `-B` would fork a process of 100 MB only to keep time; without this class Celery uses a thread.
celery.beat._Process = None

app = Celery("fleetd")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@celeryd_init.connect
def _refuse_without_secrets(**_: Any) -> None:
    """A worker without its secrets ends here; Celery would only log an ordinary exception."""
    try:
        refuse_without_secrets(settings)
    except SettingError as error:
        raise SystemExit(f"fleetd worker: {error}") from None


@worker_init.connect
def _forget_readiness(**_: Any) -> None:
    """A worker that starts again is not ready because an earlier one was."""
    with suppress(OSError):
        (settings.LAYOUT.run / "worker-ready").unlink(missing_ok=True)


@worker_ready.connect
def _tell_readiness(**_: Any) -> None:
    """Tells the supervisor, which looks for this file."""
    with suppress(OSError):
        (settings.LAYOUT.run / "worker-ready").touch(mode=0o600)


@worker_process_init.connect
@beat_embedded_init.connect
def _end_with_the_worker(**_: Any) -> None:
    """Pool processes and the clock end with their worker, also when it is killed."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
