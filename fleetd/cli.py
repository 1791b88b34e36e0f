"""`fleetd`: the command of whoever runs the server.

argparse and no Django in this process: `fleetd up` stays as long as the platform runs.
"""

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fleetd.settings.env import SettingError
from fleetd.settings.registry import environment
from fleetd.supervisor.claims import is_running
from fleetd.supervisor.commands import ROOT, child_environment
from fleetd.supervisor.processes import StartError

DEMO_FOLDER = "demo"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed, rest = _parser().parse_known_args(given)
    takes_more = (
        _migrate,
        _check,
        _createowner,
        _setup_url,
        _audit,
        _users,
        _reset_link,
        _keys,
        _service_token,
        _check_isolation,
        _replay_rollout,
    )
    if rest and parsed.run not in takes_more:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return int(parsed.run(parsed, rest))
    except StartError as error:
        sys.stderr.write(f"fleetd: {error}\n")
        return error.exit_code
    except SettingError as error:
        sys.stderr.write(f"fleetd: {error}\n")
        return 1
    except PermissionError as error:
        sys.stderr.write(f"fleetd: {error.filename}: {error.strerror}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fleetd", description="Runs and maintains a fleetd platform on this machine."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    up = commands.add_parser("up", help="run the platform until Ctrl-C")
    up.set_defaults(run=_up)
    demo = commands.add_parser("demo", help="the same with a simulated fleet and a rollout")
    demo.add_argument("--devices", type=int, default=200, help="size of the simulated fleet")
    demo.set_defaults(run=_demo)
    for name, run, text in (
        ("migrate", _migrate, "bring the database schema up to date, as its owner"),
        ("check", _check, "check the settings as for a public installation"),
        ("createowner", _createowner, "create an organization and its owner"),
        ("setup-url", _setup_url, "print a new link for the first visit"),
        ("users", _users, "list, disable and enable people; help those who are locked out"),
        ("reset-link", _reset_link, "print a one-time link that sets a person's new password"),
        ("keys", _keys, "list and rotate the keys that sign access tokens"),
        ("service-token", _service_token, "tokens of the platform's own services"),
        ("check-isolation", _check_isolation, "prove that no organization reaches another"),
        ("replay-rollout", _replay_rollout, "check a rollout's log, or judge it by other gates"),
        ("audit", _audit, "verify, export, sign (checkpoint) or prune the audit trail"),
    ):
        commands.add_parser(name, help=text, add_help=False).set_defaults(run=run)
    config = commands.add_parser("config", help="about the settings")
    kinds = config.add_subparsers(metavar="WHAT", required=True)
    kinds.add_parser("reference", help="print the table of all settings").set_defaults(
        run=_config_reference
    )
    return parser


def _up(_: argparse.Namespace, __: list[str]) -> int:
    from fleetd.supervisor.platform import Platform

    return asyncio.run(Platform().run())


def _demo(parsed: argparse.Namespace, _: list[str]) -> int:
    from fleetd.supervisor.demo import run_demo

    if not environment().is_set("FLEETD_DATA_DIR"):
        # Simulated devices never mix with the real ones of `fleetd up`.
        os.environ["FLEETD_DATA_DIR"] = str(environment().path("FLEETD_DATA_DIR") / DEMO_FOLDER)
    return asyncio.run(run_demo(parsed.devices))


def _config_reference(_: argparse.Namespace, __: list[str]) -> int:
    from fleetd.settings.reference import reference

    sys.stdout.write(reference())
    return 0


def _migrate(_: argparse.Namespace, rest: list[str]) -> int:
    return _manage(["migrate", *rest], FLEETD_DB_ROLE="owner")


def _check(_: argparse.Namespace, rest: list[str]) -> int:
    return _manage(["check", "--deploy", *rest])


def _keys(_: argparse.Namespace, rest: list[str]) -> int:
    return _manage(["keys", *rest])


def _service_token(_: argparse.Namespace, rest: list[str]) -> int:
    return _manage(["service_token", *rest])


def _createowner(_: argparse.Namespace, rest: list[str]) -> int:
    return _manage(["createowner", *rest])


def _setup_url(_: argparse.Namespace, rest: list[str]) -> int:
    return _manage(["setup_url", *rest])


def _audit(_: argparse.Namespace, rest: list[str]) -> int:
    """Only pruning deletes, which the application's own role may not."""
    role = {"FLEETD_DB_ROLE": "owner"} if rest[:1] == ["prune"] else {}
    return _manage(["audit", *rest], **role)


def _users(_: argparse.Namespace, rest: list[str]) -> int:
    return _manage(["users", *rest])


def _reset_link(_: argparse.Namespace, rest: list[str]) -> int:
    return _manage(["users", "reset-link", *rest])


def _replay_rollout(_: argparse.Namespace, rest: list[str]) -> int:
    return _manage(["replay_rollout", *rest])


def _check_isolation(_: argparse.Namespace, rest: list[str]) -> int:
    return _with_servers(["-m", "fleetd.isolation", *rest])


def _manage(arguments: list[str], **changes: str) -> int:
    """Runs a Django command."""
    return _with_servers([str(ROOT / "manage.py"), *arguments], **changes)


def _with_servers(arguments: list[str], **changes: str) -> int:
    """Runs Python with the embedded servers, for as long as it takes if none run."""
    from fleetd.supervisor.platform import Platform

    platform = Platform()
    command = [sys.executable, *arguments]
    values = child_environment(platform.layout) | changes
    given = all(platform.environment.is_set(n) for n in ("DATABASE_URL", "REDIS_URL"))
    if given or is_running(platform.layout.lock) or {"-h", "--help"} & set(arguments):
        return subprocess.run(command, env=values, cwd=Path.cwd()).returncode  # noqa: S603
    return asyncio.run(platform.run_one(command, values))


if __name__ == "__main__":
    sys.exit(main())
