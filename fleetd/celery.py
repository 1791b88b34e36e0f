"""The worker's application: `celery -A fleetd worker -B`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetd.settings.base")

app = Celery("fleetd")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
