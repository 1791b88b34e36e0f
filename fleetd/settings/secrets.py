"""Which secrets are too weak to start with (security bar S85)."""

from urllib.parse import unquote, urlsplit

from fleetd.settings.env import Environment
from fleetd.settings.sealing_keys import keys_weakness

MIN_SECRET_BYTES = 32
MIN_DIFFERENT_CHARACTERS = 10
SAMPLES = ("changeme", "change-me", "change_me", "insecure", "example", "default", "password")


def weakness(secret: str | None) -> str | None:
    """Why a secret must not be used, or None when it may."""
    if not secret:
        return "is missing"
    if len(secret.encode()) < MIN_SECRET_BYTES:
        return f"is shorter than {MIN_SECRET_BYTES} bytes"
    if len(set(secret)) < MIN_DIFFERENT_CHARACTERS:
        return "repeats the same few characters"
    if any(sample in secret.lower() for sample in SAMPLES):
        return "looks like the value of an example file"
    return None


def database_weakness(url: str) -> str | None:
    """Why the password in a database URL must not be used.

    A Unix socket without a password is fine: there the operating system says who connects.
    """
    parts = urlsplit(url)
    if parts.password is None and "host=/" in unquote(parts.query):
        return None
    return weakness(unquote(parts.password) if parts.password else None)


def weak_secrets(environment: Environment) -> list[str]:
    """What production refuses to start with, in one sentence each. Values are never repeated."""
    if environment.text("FLEETD_MODE") != "production":
        return []
    found = []
    key = environment.raw("FLEETD_SECRET_KEY")
    if key is not None and (reason := weakness(key)):
        found.append(f"FLEETD_SECRET_KEY {reason}")
    sealing = environment.raw("FLEETD_ENCRYPTION_KEYS")
    if sealing is not None and (reason := keys_weakness(sealing)):
        found.append(f"FLEETD_ENCRYPTION_KEYS {reason}")
    for name in ("DATABASE_URL", "FLEETD_DATABASE_OWNER_URL"):
        url = environment.raw(name)
        if url is not None and (reason := database_weakness(url)):
            found.append(f"the password in {name} {reason}")
    return [f"{text}; only FLEETD_MODE=development allows that" for text in found]
