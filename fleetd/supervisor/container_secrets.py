"""Generates the secrets of a compose installation once, each file for its reader only.

`python -m fleetd.supervisor.container_secrets FOLDER` runs as root before anything else. What is in
FOLDER/postgres belongs to the user of the postgres image, FOLDER/fleets to ours.
"""

import os
import pwd
import secrets
import sys
from pathlib import Path

from fleetd.settings.layout import write_private
from fleetd.settings.sealing_keys import new_key, write_keys
from fleetd.supervisor import roles
from fleetd.supervisor.servers import PASSWORD_BYTES

DATABASE_HOST = "postgres"
POSTGRES_UID = POSTGRES_GID = 999  # fixed by the official image
_ROLE_NAMES = {"owner": roles.OWNER, "app": roles.APP, "auditor": roles.AUDITOR}


def contents() -> dict[str, dict[str, str]]:
    """Fresh secrets: folder, file name, text."""
    passwords = {role: _password() for role in _ROLE_NAMES.values()}
    statements = [
        *roles.role_statements(passwords),
        f"ALTER DATABASE {roles.DATABASE} OWNER TO {roles.OWNER};",
        *roles.database_statements(),
    ]
    urls = {
        f"database-{name}-url": f"postgresql://{role}:{passwords[role]}@{DATABASE_HOST}/fleetd"
        for name, role in _ROLE_NAMES.items()
    }
    return {
        "postgres": {"superuser-password": _password(), "roles.sql": "\n".join(statements)},
        "fleets": {
            "secret-key": _password(),
            "encryption-keys": write_keys((new_key(),)),
            **urls,
        },
    }


def write(folder: Path, owners: dict[str, tuple[int, int]]) -> bool:
    """Writes everything unless it is there; True when it wrote."""
    if (folder / "complete").exists():
        return False
    for name, files in contents().items():
        for file, text in files.items():
            path = folder / name / file
            write_private(path, text)
            os.chown(path, *owners[name])
        os.chown(folder / name, *owners[name])
    (folder / "complete").touch()
    return True


def _password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


if __name__ == "__main__":
    us = pwd.getpwnam("fleetd")
    users = {"postgres": (POSTGRES_UID, POSTGRES_GID), "fleets": (us.pw_uid, us.pw_gid)}
    sys.stdout.write("generated\n" if write(Path(sys.argv[1]), users) else "kept\n")
