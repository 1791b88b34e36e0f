"""The one clock. Tests move it with time-machine; nothing else reads the time."""

from datetime import datetime

from django.utils import timezone


def now() -> datetime:
    """The present, aware, in UTC."""
    return timezone.now()
