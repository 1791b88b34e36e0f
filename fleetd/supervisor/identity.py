"""PostgreSQL refuses to run as root. Started by root, the servers run as an unprivileged user.

That user may be unable to enter the directories above the clone or above the data (`/root` is
closed). So the data directory is handed over as an open descriptor, and programs that it cannot
read are copied into the runtime directory. No mode of a directory of yours is changed.
"""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from fleetd.supervisor.processes import Identity, StartError

CANDIDATES = ("fleetd", "postgres", "nobody")


def server_identity(data: Path) -> Identity | None:
    """Whom the servers run as: None (ourselves) unless we are root.

    An existing data directory keeps its owner, also when a better user exists by now.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Identity(owner.st_uid, owner.st_gid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Identity(entry.pw_uid, entry.pw_gid)
    raise StartError("PostgreSQL does not run as root: create a user named fleetd first")


def own_directory(path: Path, identity: Identity | None) -> None:
    """Creates a directory that only the server's user may enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if identity:
        os.chown(path, identity.uid, identity.gid)
        path.chmod(0o700)


def can_run(program: Path, identity: Identity | None) -> bool:
    """Whether the user can execute a program where it lies."""
    try:
        subprocess.run(  # noqa: S603  our own binaries
            [str(program), "--version"],
            check=True,
            capture_output=True,
            cwd="/",
            user=identity.uid if identity else None,
            group=identity.gid if identity else None,
            extra_groups=[] if identity else None,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def readable_copy(source: Path, target: Path) -> Path:
    """Copies a file or tree so that every user can read and execute it, whatever the umask."""
    before = os.umask(0o022)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target)
    finally:
        os.umask(before)
    for path in [target, *target.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755)
    return target
