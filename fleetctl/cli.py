"""The command fleetctl."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from fleetctl import __version__
from fleetctl.errors import CommandError
from fleetctl.output import plain

DEFAULT_SERVER = "http://127.0.0.1:8080"
HELP = {
    "exit-codes": """\
0    done
1    error
2    wrong usage, refused input, or cancelled by you
3    not found
4    sign-in needed: `fleetctl login`, or FLEETD_TOKEN is no longer valid
5    forbidden
6    conflict: it is in another state than the command needs
8    the server cannot be reached
130  interrupted
""",
    "filter": """\
connectivity = "offline" AND tags:"lab"     AND, OR (binds closer than AND), NOT, parentheses
name = "web-*"   serial != "7"              texts: exactly, or beginning so with a * at the end
hostname:"oslo"  labels.site:*              : finds a part, :* any value
last_seen < "-7d"  created_at > "2026-11-01"   ages in s, m, h, d, w; days and times
version("app") >= "2.3.0"  kernel < "6.1"   in the order of Semantic Versioning
metrics.disk_ratio > 90%  memory >= 4GiB    numbers, percentages, sizes
group = "canary"                            static groups, groups of a tag, smart groups
lab-7                                       a lone word: in a name or address, or a tag
All fields: docs/reference/filters.md. What is absent matches no comparison, not even !=.
""",
    "environment": """\
FLEETD_SERVER            address of the platform; --server wins. Without either the server of the
                         last `fleetctl login`, or http://127.0.0.1:8080
FLEETD_TOKEN             API key (fld_pat_…) or access token; used instead of any sign-in
FLEETD_PROFILE           which sign-in to use, where there are several; --profile wins
FLEETD_ORG               organization, where the sign-in is bound to none
XDG_CONFIG_HOME          sign-ins are kept in fleetctl/credentials.json below it (~/.config)
FLEETD_CA_FILE           CA of the platform, where it is a private one
FLEETD_ENROLLMENT_TOKEN  enrollment token of `fleetctl sim up` (fld_enr_…)
FLEETD_SIGNING_PASSPHRASE
                         passphrase of the keys of `fleetctl sign`
""",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code (`fleetctl help exit-codes`)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(given).parse_args(given)
    try:
        code: int = options.run(options)
    except CommandError as error:
        sys.stderr.write(f"error: {plain(str(error))}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `fleetctl … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    from fleetctl import sign_in
    from fleetctl.commands import add_parsers

    parser = argparse.ArgumentParser(
        prog="fleetctl", description="Manages a fleet through the public API of fleetd."
    )
    parser.add_argument("--version", action="version", version=f"fleetctl {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    common = _common()
    sign_in.add_parsers(commands, common)
    add_parsers(commands, common)
    _add_sign(commands, common, given)
    _add_sim(commands, given)
    topics = commands.add_parser("help", help=f"about {', '.join(HELP)}")
    topics.add_argument("topic", choices=sorted(HELP))
    topics.set_defaults(run=_help)
    return parser


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--server", default="", metavar="URL")
    common.add_argument("--profile", default=os.environ.get("FLEETD_PROFILE", ""), metavar="NAME")
    common.add_argument("-o", "--output", choices=("table", "json"), default="table")
    return common


def default_server() -> str:
    """FLEETD_SERVER, or this machine."""
    return os.environ.get("FLEETD_SERVER") or DEFAULT_SERVER


def _add_sim(commands: Any, given: Sequence[str]) -> None:
    if given[:1] == ["sim"]:  # brings gRPC with it, which other commands need not wait for
        from fleetctl.sim.command import add_parser

        add_parser(commands, default_server())
    else:
        commands.add_parser("sim", help="simulated devices")


def _add_sign(commands: Any, common: argparse.ArgumentParser, given: Sequence[str]) -> None:
    if given[:1] == ["sign"]:  # brings TUF with it
        from fleetctl.sign.command import add_parsers

        add_parsers(commands, common)
    else:
        commands.add_parser("sign", help="sign releases with your own keys")


def _help(options: argparse.Namespace) -> int:
    sys.stdout.write(HELP[options.topic])
    return 0


if __name__ == "__main__":
    sys.exit(main())
