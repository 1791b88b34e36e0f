"""Settings of the test suite: the product's, with a fast hasher and without collected files."""

from fleetd.settings.base import *  # noqa: F403
from fleetd.settings.logs import logging_config

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# All tests call from one address. Those of the limits set their own.
for _name in ("ADDRESS", "UNAUTHENTICATED", "USER", "API_KEY", "ORGANIZATION", "SOCKETS"):
    if not env.is_set(f"FLEETD_LIMIT_{_name}"):  # noqa: F405
        globals()[f"LIMIT_{_name}"] = 1_000_000
# A server of a test finds static files where they are written; nothing is collected.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True
LOGGING = logging_config("WARNING", "console")
# Most tests need a second organization, whose rows must stay out of reach.
ORGANIZATIONS = "multi"
