"""Browser sessions in the database, as Django keeps them; only what can be a key is looked up."""

import re

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

_KEY = re.compile(r"[a-z0-9]{32}", re.ASCII)


class SessionStore(DatabaseStore):
    """A cookie may hold anything: NUL, for one, would be an error of the database."""

    def _validate_session_key(self, key: str | None) -> bool:
        return key is not None and _KEY.fullmatch(key) is not None
