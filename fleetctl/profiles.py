"""Who is signed in where: one file with a profile per server, readable by its owner only.

Commands that run at the same time take turns at refreshing: a refresh token is good once, and the
server ends a sign-in whose used token comes back.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fleetctl.errors import CommandError, NeedsSignIn, UsageError

REFRESH_EARLY_SECONDS = 60
FILE_MODE = 0o600


@dataclass(frozen=True)
class Profile:
    """A server and what opens it: the tokens of a sign-in, or an API key."""

    name: str
    server: str
    access_token: str = ""
    refresh_token: str = ""
    expires_at: float = 0.0
    api_key: str = ""

    @property
    def is_fresh(self) -> bool:
        """Whether the access token still lasts a while."""
        return bool(self.access_token) and self.expires_at - time.time() > REFRESH_EARLY_SECONDS


@dataclass(frozen=True)
class Book:
    """All profiles; `current` is used where a command names none."""

    current: str
    profiles: dict[str, Profile]

    def find(self, *, name: str = "", server: str = "") -> Profile | None:
        """The profile with this name, else the one of this server, else the current one.

        Raises `UsageError` for a name that is not there.
        """
        if name:
            if name not in self.profiles:
                known = ", ".join(sorted(self.profiles)) or "none"
                raise UsageError(f"there is no profile {name!r} (there is: {known})")
            return self.profiles[name]
        if server:
            wanted = canonical(server)
            return next((p for p in self.profiles.values() if p.server == wanted), None)
        return self.profiles.get(self.current)


def canonical(server: str) -> str:
    """An address in one spelling."""
    return server.rstrip("/")


def name_of(server: str) -> str:
    """What a profile is called unless somebody says otherwise: the server's host and port."""
    return urlsplit(server).netloc.rpartition("@")[2] or server


def path() -> Path:
    """Where the profiles lie."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "fleetctl" / "credentials.json"


def load() -> Book:
    """The profiles as they are now. Raises `CommandError` for a file that is not ours."""
    try:
        text = path().read_text()
    except FileNotFoundError:
        return Book("", {})
    except OSError as error:
        raise CommandError(f"{path()}: {error.strerror}") from error
    try:
        document = json.loads(text)
        profiles = {n: Profile(name=n, **values) for n, values in document["profiles"].items()}
        return Book(str(document["current"]), profiles)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandError(f"{path()} is damaged; delete it and sign in again") from error


def store(profile: Profile) -> None:
    """Keeps a profile and makes it the current one."""
    with locked():
        book = load()
        _write(Book(profile.name, {**book.profiles, profile.name: profile}))


def remove(name: str) -> None:
    """Forgets a profile."""
    with locked():
        book = load()
        left = {n: p for n, p in book.profiles.items() if n != name}
        _write(Book(book.current if book.current in left else next(iter(left), ""), left))


def token_of(profile: Profile, refresh: Any) -> str:
    """What to send for a profile; `refresh(profile)` gets new tokens where the old have ended.

    Of several commands at once the first one refreshes and the others wait for its tokens. Raises
    `NeedsSignIn` where the sign-in has ended, and forgets it.
    """
    if profile.api_key or profile.is_fresh:
        return profile.api_key or profile.access_token
    with locked():
        book = load()
        now = book.profiles.get(profile.name, profile)
        if now.is_fresh:
            return now.access_token
        try:
            fresh: Profile = refresh(now)
        except NeedsSignIn:
            ended = replace(now, access_token="", refresh_token="", expires_at=0.0)
            _write(Book(book.current, {**book.profiles, now.name: ended}))
            raise
        _write(Book(book.current, {**book.profiles, fresh.name: fresh}))
    return fresh.access_token


@contextmanager
def locked() -> Iterator[None]:
    """One command at a time, also across processes."""
    folder = path().parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder / "credentials.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(book: Book) -> None:
    """All or nothing: a used refresh token must never be the one that is left on the disk."""
    document = {
        "current": book.current,
        "profiles": {
            n: {k: v for k, v in asdict(p).items() if k != "name"} for n, p in book.profiles.items()
        },
    }
    target = path()
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE)
    try:
        with os.fdopen(handle, "w") as stream:
            json.dump(document, stream, indent=2)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
