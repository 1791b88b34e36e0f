"""The process behind `fleetd check-isolation`: `python -m fleetd.isolation`."""

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence

from fleetd.isolation.report import DoorReport, table, total
from fleetd.isolation.scratch import Server, find_server, scratch_installation
from fleetd.settings.env import SettingError
from fleetd.settings.layout import DataLayout
from fleetd.settings.registry import environment
from fleetd.supervisor.processes import StartError

DOORS = ("rest", "rpc", "ui", "admin", "websocket", "sql", "tasks")
# Pages name static files only; nobody fetches them here.
STATIC_FILES = "django.contrib.staticfiles.storage.StaticFilesStorage"
FOUND, BROKEN, INTERRUPTED = 1, 2, 130


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="fleetd check-isolation",
        description="Proves, on a scratch database, that no organization reaches another.",
    )
    made.add_argument("--json", action="store_true", help="print one JSON object")
    made.add_argument(
        "--door", action="append", choices=DOORS, help="walk this door only; may be repeated"
    )
    made.add_argument(
        "--database-url", help="URL of a role that may create databases on the server to use"
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Makes the scratch database, walks, prints, drops it; the exit code says what was found."""
    given = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    env = environment()
    try:
        server = find_server(env, DataLayout(env.path("FLEETD_DATA_DIR")), given.database_url)
        reports = check(server, given.door or list(DOORS))
    except (StartError, SettingError) as error:
        sys.stderr.write(f"fleetd check-isolation: {error}\n")
        return BROKEN
    except KeyboardInterrupt:
        sys.stderr.write("\nfleetd check-isolation: stopped; the scratch database is dropped\n")
        return INTERRUPTED
    sys.stdout.write(as_json(reports) if given.json else as_text(reports))
    return 0 if all(report.is_clean for report in reports) else FOUND


def check(server: Server, doors: list[str]) -> list[DoorReport]:
    """Walks these doors of a scratch installation on this server."""
    say("making a scratch database")
    with scratch_installation(server) as values:
        os.environ.clear()
        os.environ.update(values)
        import django

        django.setup()
        logging.disable(logging.CRITICAL)
        from django.conf import settings

        settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": STATIC_FILES}}
        from fleetd.isolation.walk import close, walk

        try:
            return walk(doors, say)
        finally:
            close()


def say(text: str) -> None:
    """Shows on standard error what is being done, in one line where that is a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text[:100]}")
        sys.stderr.flush()


def as_text(reports: list[DoorReport]) -> str:
    """The table, and what was found by name."""
    whole = total(reports)
    lines = ["", table(reports), ""]
    lines += [f"LEAK {each}" for each in whole.leaks]
    lines += [f"not walked: {each}" for each in whole.not_walked]
    verdict = f"{len(whole.leaks)} leaks, {len(whole.not_walked)} not walked"
    if not (whole.leaks or whole.not_walked):
        verdict = "Nothing of one organization reaches another."
    return "\n".join([*lines, verdict, ""])


def as_json(reports: list[DoorReport]) -> str:
    """The same for programs."""
    doors = [report.as_json() for report in reports]
    return json.dumps({"doors": doors, "total": total(reports).as_json()}, indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
