"""Manifests of rollouts: sending one, with its problems as compilers show them, and writing one."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fleetctl.client import Client, quoted
from fleetctl.errors import Refused, UsageError
from fleetctl.sign_in import connect
from fleetctl.verbs import verb

STDIN = "-"
LARGEST = 1 << 20


def read_file(path: str) -> str:
    """The text of a file; `-` is standard input."""
    try:
        if path == STDIN:
            return sys.stdin.read(LARGEST)
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error


def request_of(text: str) -> dict[str, Any] | None:
    """The request of the REST API that the text is; None for a manifest."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "apiVersion" not in found else None


def send_manifest(client: Client, path: str, text: str, *, validate_only: bool) -> Any:
    """Plans what a manifest says; its problems go to standard error, a line for each."""
    body = {"manifest": text, "validate_only": validate_only}
    try:
        return client.post("rollouts:manifest", body)
    except Refused as error:
        problems = error.metadata.get("problems")
        if not isinstance(problems, list) or not problems:
            raise
        name = "standard input" if path == STDIN else path
        for problem in problems:
            sys.stderr.write(f"{name}:{_line(problem)}\n")
        number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        error.args = (f"{number} in {name}; nothing was stored",)
        raise


def _line(problem: dict[str, Any]) -> str:
    where = f"{problem.get('line', 1)}:{problem.get('column', 1)}"
    path = f"{problem['path']}: " if problem.get("path") else ""
    text = f"{where}: {path}{problem.get('message', '')}"
    return "".join(c if c.isprintable() else " " for c in text)


def add_export(verbs: Any, common: argparse.ArgumentParser) -> None:
    """`fleetctl rollouts export ID`."""
    examples = "fleetctl rollouts export ID > rollout.yaml\nfleetctl rollouts export ID -o json"
    parser = verb(verbs, common, "export", "write it as a manifest", examples, _export)
    parser.add_argument("id", metavar="ID")


def _export(options: argparse.Namespace) -> int:
    found = connect(options).get(f"rollouts/{quoted(options.id)}/manifest")
    if options.output == "json":
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(found["manifest"])
    return 0
