"""How fast pages of a rollout answer while something else works on it.

A process of its own, as a web server is: `python -m bench.pages <user> <rollout>` asks for every
page in turn until its standard input closes, and then prints when it asked and for how long.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from typing import Any
from uuid import UUID

from bench.harness import ROOT, Side

UNLIMITED = {
    f"FLEETD_LIMIT_{name}": "0"
    for name in ("ADDRESS", "UNAUTHENTICATED", "USER", "API_KEY", "ORGANIZATION")
}
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
PAGES = {
    "rollout page": "/rollouts/{}",
    "its live part": "/rollouts/{}?fragment=body",
    "its reasons": "/rollouts/{}/why",
    "its chart": "/rollouts/{}/chart",
    "its forecast": "/rollouts/{}/forecast",
    "list of rollouts": "/rollouts",
    "list of devices": "/devices",
    "REST: the rollout": "/api/v1/rollouts/{}",
    "REST: 50 deployments": "/api/v1/deployments?rollout_id={}&page_size=50",
}


class PageReader:
    """Somebody who keeps looking at one rollout: its pages, and what REST says of it."""

    def __init__(self, user_id: UUID, rollout_id: UUID) -> None:
        self._begun: dict[str, float] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.pages", str(user_id), str(rollout_id)],
            cwd=ROOT,
            env={**os.environ, **UNLIMITED, "FLEETD_LOG_LEVEL": "ERROR"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the reader of pages did not come up")

    def begin(self, series: str) -> None:
        """What is asked for from here on belongs to this series."""
        self._begun[series] = time.perf_counter()

    def end(self) -> list[Side]:
        """Stops; a side for each series and page."""
        output, _ = self._process.communicate(timeout=60)
        if self._process.returncode:
            raise RuntimeError("a page was not answered")
        times: dict[tuple[str, str], list[float]] = defaultdict(list)
        for page, begun, taken in json.loads(output):
            # Both processes read the machine's one monotonic clock.
            series = [name for name, start in self._begun.items() if start <= begun]
            if series:
                times[series[-1], page].append(taken * 1000)
        return [_side(series, page, taken) for (series, page), taken in sorted(times.items())]


def _side(series: str, page: str, taken: list[float]) -> Side:
    median = statistics.median(taken)
    details = {"ms": median, "p95_ms": sorted(taken)[int(len(taken) * 0.95)], "asked": len(taken)}
    return Side(f"{series}: {page}", 1000 / median, "pages/s", details)


def main(user_id: str, rollout_id: str) -> None:
    """The process that asks."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client

    from apps.accounts.models import User

    call_command("collectstatic", verbosity=0, interactive=False)
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(id=user_id), backend=BACKEND)
    pages = {name: path.format(rollout_id) for name, path in PAGES.items()}
    for path in [*pages.values()] * 3:  # fills caches
        _ask(client, path)
    is_over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), is_over.set()), daemon=True).start()
    print("ready", flush=True)
    asked = []
    while not is_over.is_set():
        for name, path in pages.items():
            begun = time.perf_counter()
            asked.append((name, begun, _ask(client, path)))
    print(json.dumps(asked), flush=True)


def _ask(client: Any, path: str) -> float:
    begun = time.perf_counter()
    response = client.get(path)
    taken = time.perf_counter() - begun
    if response.status_code != 200:
        raise RuntimeError(f"{path} answered {response.status_code}: {response.content[:300]!r}")
    return taken


if __name__ == "__main__":
    main(*sys.argv[1:])
