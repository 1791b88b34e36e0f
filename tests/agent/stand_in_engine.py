#!/usr/bin/env python3
"""A stand-in for docker: the commands that the agent uses, with its answers kept in a file.

Written after the words and exit codes of docker 28; no container ever runs. The tests of the
agent put it on PATH as `docker`, because machines that run tests rarely have an engine.
"""

import json
import sys
from pathlib import Path
from typing import Any

STATE = Path(__file__).with_name("engine.json")


class Engine:
    """One call of the command."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = json.loads(STATE.read_text())
        self.containers: dict[str, Any] = self.state["containers"]

    def call(self, words: list[str]) -> None:
        self.state["calls"].append(words)
        sys.stdout.write(getattr(self, words[0])(words[1:]) + "\n")
        STATE.write_text(json.dumps(self.state))

    def version(self, words: list[str]) -> str:
        if self.state.get("is_down"):
            sys.exit("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
        return "28.2.2"

    def load(self, words: list[str]) -> str:
        content = Path(words[words.index("--input") + 1]).read_text()
        if not content.startswith("image "):
            sys.exit("open /var/lib/docker/tmp: invalid tar header")
        return f"Loaded image: {content.split()[1]}"

    def ps(self, words: list[str]) -> str:
        wanted = words[words.index("--filter") + 1].removeprefix("name=^").removesuffix("$")
        return "\n".join(n for n in self.containers if n == wanted.replace("\\", ""))

    def container(self, words: list[str]) -> str:
        return json.dumps(self.containers[words[1]])

    def run(self, words: list[str]) -> str:
        name, label = (words[words.index(option) + 1] for option in ("--name", "--label"))
        image = next(word for word in words if word.startswith("app:"))
        if name in self.containers:
            sys.exit(f'Conflict. The container name "/{name}" is already in use')
        key, _, value = label.partition("=")
        self.containers[name] = {
            "Config": {"Image": image, "Labels": {key: value}},
            "State": {"Running": "crash" not in image},
        }
        return "0123456789abcdef"

    def stop(self, words: list[str]) -> str:
        self.containers[words[-1]]["State"]["Running"] = False
        return words[-1]

    def start(self, words: list[str]) -> str:
        self.containers[words[-1]]["State"]["Running"] = True
        return words[-1]

    def rename(self, words: list[str]) -> str:
        self.containers[words[1]] = self.containers.pop(words[0])
        return ""

    def rm(self, words: list[str]) -> str:
        self.containers.pop(words[-1], None)
        return words[-1]

    def logs(self, words: list[str]) -> str:
        return "panic: no such table"


if __name__ == "__main__":
    Engine().call(sys.argv[1:])
