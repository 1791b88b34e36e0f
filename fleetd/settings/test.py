"""Settings of the test suite: the product's, with a fast hasher and without collected files."""

from fleetd.settings.base import *  # noqa: F403
from fleetd.settings.logs import logging_config

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
LOGGING = logging_config("WARNING", "console")
