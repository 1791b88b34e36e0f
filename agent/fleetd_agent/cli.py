"""The command fleetd-agent."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleetd_agent import __version__
from fleetd_agent.logs import set_up_logs
from fleetd_agent.places import Places, Problem, default_places, read_configuration

if TYPE_CHECKING:
    from fleetd_agent.identity import Identity

OK, FAILED, USAGE = 0, 1, 2

ENROLL_HELP = """\
examples:
  FLEETD_TOKEN=fld_enr_... fleetd-agent enroll --server https://fleet.example.com
  fleetd-agent enroll --server http://127.0.0.1:8080 --token-file /run/secrets/token
"""
RUN_HELP = """\
examples:
  fleetd-agent run
  FLEETD_AGENT_STATE_DIR=/tmp/device fleetd-agent run

state lives in FLEETD_AGENT_STATE_DIR (/var/lib/fleetd for root); logs go to standard error
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0 done, 1 failed, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    set_up_logs(os.environ.get("FLEETD_LOG_LEVEL", "INFO").upper())
    try:
        code: int = options.run(options, default_places())
    except Problem as problem:
        sys.stderr.write(f"error: {problem}\n")
        return FAILED
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fleetd-agent", description="The fleetd device agent.")
    parser.add_argument("--version", action="version", version=f"fleetd-agent {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    enroll = commands.add_parser(
        "enroll", help="join a platform", epilog=ENROLL_HELP, formatter_class=raw
    )
    enroll.add_argument("--server", default=os.environ.get("FLEETD_SERVER"), metavar="URL")
    enroll.add_argument("--token", help="better: FLEETD_TOKEN or --token-file")
    enroll.add_argument("--token-file", type=Path, metavar="FILE", help="'-' is standard input")
    enroll.add_argument("--force", action="store_true", help="replace an identity that is valid")
    enroll.set_defaults(run=_enroll)
    run = commands.add_parser(
        "run", help="work until stopped", epilog=RUN_HELP, formatter_class=raw
    )
    run.set_defaults(run=_run)
    status = commands.add_parser("status", help="identity, connection and deployments")
    status.add_argument("--json", action="store_true")
    status.set_defaults(run=_status)
    doctor = commands.add_parser("doctor", help="find out why the device cannot connect")
    doctor.add_argument("--server", default=os.environ.get("FLEETD_SERVER"), metavar="URL")
    doctor.add_argument("--json", action="store_true")
    doctor.set_defaults(run=_doctor)
    _add_update(commands)
    trust = commands.add_parser(
        "trust", help="install only releases that the holders of this TUF root have signed"
    )
    trust.add_argument("root", type=Path, metavar="ROOT.json")
    trust.set_defaults(run=_trust)
    uninstall = commands.add_parser("uninstall", help="stop and remove the agent's files")
    uninstall.add_argument("--purge", action="store_true", help="remove key and certificate too")
    uninstall.set_defaults(run=_uninstall)
    return parser


def _add_update(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    update = commands.add_parser("update", help="look at updates, agree to them, pause them")
    actions = update.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser("check", help="the deployment under way and what it waits for")
    check.add_argument("--json", action="store_true")
    check.set_defaults(run=_update_check)
    for name, text in (
        ("approve", "agree to the deployment that waits for it"),
        ("pause", "let no update begin until resume, also after a restart"),
        ("resume", "let updates begin again"),
    ):
        actions.add_parser(name, help=text).set_defaults(run=_update_decide, decision=name)


def _enroll(options: argparse.Namespace, places: Places) -> int:
    from fleetd_agent.downloads import build_opener
    from fleetd_agent.enrollment import EnrollmentClient, EnrollmentFailed, enroll
    from fleetd_agent.facts import Machine
    from fleetd_agent.identity import IdentityStore
    from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb

    if not options.server:
        raise Problem("which platform? give --server URL")
    token = _token(options)
    configuration = read_configuration()
    _warn_of_plain_http(options.server)
    places.create()
    if places.is_running():
        raise Problem("an agent is running with this state: stop it first, then enroll")
    with places.hold():
        store = IdentityStore(places.state)
        _refuse_second_identity(store.load(), is_forced=options.force)
        machine = Machine(configuration.labels)
        about = pb.EnrollRequest(
            token=token,
            hardware_id=machine.hardware_id(),
            hostname=machine.hostname(),
            agent_version=__version__,
            inventory=machine.inventory(),
        )
        try:
            client = EnrollmentClient(options.server, build_opener(configuration.ca_file))
            request = store.request_for(client.server)
            work = enroll(client, request, about, on_pending=_say_pending())
            identity = asyncio.run(work)
        except EnrollmentFailed as failure:
            raise Problem(str(failure)) from failure
        store.save(identity)
    sys.stdout.write(
        f"enrolled as device {identity.device_id}\n"
        f"certificate until {identity.not_after:%Y-%m-%d %H:%M} UTC, "
        f"fingerprint {identity.fingerprint}\n"
        "now start it: fleetd-agent run\n"
    )
    return OK


def _warn_of_plain_http(server: str) -> None:
    from urllib.parse import urlsplit

    parts = urlsplit(server)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        sys.stderr.write("warning: plain HTTP: whoever listens on the way can use the token\n")


def _refuse_second_identity(identity: "Identity | None", *, is_forced: bool) -> None:
    from datetime import UTC, datetime

    from fleetd_agent.identity import is_expired

    if identity is None or is_forced or is_expired(identity, datetime.now(UTC)):
        return
    raise Problem(
        f"enrolled already as device {identity.device_id} at {identity.server}; "
        "use --force to enroll anew"
    )


def _token(options: argparse.Namespace) -> str:
    if options.token_file:
        try:
            is_input = str(options.token_file) == "-"
            text = sys.stdin.read() if is_input else options.token_file.read_text()
        except OSError as error:
            raise Problem(f"{options.token_file}: {error.strerror}") from error
        token = text.strip()
    else:
        token = options.token or os.environ.get("FLEETD_TOKEN", "")
    if not token:
        raise Problem("an enrollment token is needed: FLEETD_TOKEN, --token-file or --token")
    return str(token)


def _say_pending() -> Callable[[int], None]:
    said: list[int] = []

    def say(seconds: int) -> None:
        if not said:
            sys.stderr.write(
                "waiting until somebody approves this device in the platform, "
                f"asking every {seconds} s\n"
            )
        said.append(seconds)

    return say


def _run(options: argparse.Namespace, places: Places) -> int:
    from fleetd_agent import launcher
    from fleetd_agent.agent import Agent

    async def work() -> Agent:
        agent = Agent(places, configuration)
        await agent.run()
        return agent

    configuration = read_configuration()
    places.create()
    if launcher.has_slots(places.state):
        return launcher.Launcher(places.state).run()
    with places.hold():
        agent = asyncio.run(work())
    if not agent.is_replaced:
        return OK
    if not launcher.is_launched():
        # The first update of the agent itself: from now on this process launches the agent.
        os.execv(sys.executable, [sys.executable, "-m", "fleetd_agent", "run"])  # noqa: S606
    return launcher.RESTART_CODE


def _status(options: argparse.Namespace, places: Places) -> int:
    from fleetd_agent.status import collect, render

    status = collect(places)
    sys.stdout.write(render(status, as_json=options.json))
    return OK if status["is_running"] else FAILED


def _update_check(options: argparse.Namespace, places: Places) -> int:
    from fleetd_agent.updates import collect, render

    sys.stdout.write(render(collect(places), as_json=options.json))
    return OK


def _update_decide(options: argparse.Namespace, places: Places) -> int:
    from fleetd_agent.updates import approve, pause, resume

    decide = {"approve": approve, "pause": pause, "resume": resume}[options.decision]
    sys.stdout.write(decide(places) + "\n")
    return OK


def _trust(options: argparse.Namespace, places: Places) -> int:
    """Pins a root by hand: for devices that joined before their organization had one."""
    from fleetd_agent.identity import IdentityStore

    try:
        IdentityStore(places.state).trust(options.root.read_text())
    except (OSError, ValueError) as error:
        raise Problem(f"{options.root}: {error}") from error
    sys.stdout.write("From now on this device installs only what this root vouches for.\n")
    return OK


def _doctor(options: argparse.Namespace, places: Places) -> int:
    from fleetd_agent.doctor import examine, render

    findings = examine(places, read_configuration(), options.server)
    sys.stdout.write(render(findings, as_json=options.json))
    return OK if all(finding.is_good for finding in findings) else FAILED


def _uninstall(options: argparse.Namespace, places: Places) -> int:
    from fleetd_agent.uninstall import uninstall

    for line in uninstall(places, is_purge=options.purge):
        sys.stdout.write(line + "\n")
    return OK


if __name__ == "__main__":
    sys.exit(main())
