"""P10, credentials: what it costs to learn who calls, by access token and by API key.

`first` asks the database, as once in five seconds and process; `known` is every other call. The
signature alone is measured beside it, because everything else is judged against it.
"""

import os
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from bench.gateway.installation import installation
from bench.harness import Goal, Result, Side, keep

CALLS = int(os.environ.get("BENCH_CALLS", "2000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
FIRST_CALLS = 200
JWT_GOAL, KEY_GOAL = 150.0, 100.0


def main() -> None:
    """Measures, prints and keeps."""
    with installation():
        taken = _measure()
    sides = [
        Side(name, 1e6 / each, "calls/s", {"microseconds": each}) for name, each in taken.items()
    ]
    keep(
        Result(
            id="P10-credentials",
            title="who calls: access tokens and API keys, one process",
            command="make bench, or python -m bench credentials",
            sides=sides,
            goals=[
                _goal(
                    "access token verified without the cache, microseconds", JWT_GOAL, taken, VERIFY
                ),
                _goal("access token known, microseconds", JWT_GOAL, taken, TOKEN),
                _goal("API key known, microseconds", KEY_GOAL, taken, KEY),
            ],
            notes=[
                f"{CALLS} calls a round, {ROUNDS} rounds in turn, medians",
                "processor time; the two first calls wait for PostgreSQL and are wall time",
            ],
        )
    )


VERIFY = "access token: signature and claims"
TOKEN = "access token, known"
KEY = "API key, known"


def _goal(text: str, goal: float, taken: dict[str, float], side: str) -> Goal:
    return Goal(f"{text}, under {goal:g}", taken[side], taken[side] < goal)


def _measure() -> dict[str, float]:
    from apps.accounts.services.signing_keys import RING
    from apps.core.actors import Call, Source
    from apps.organizations.services.authentication import (
        authenticate_caller,
        forget_callers,
        recall_caller,
    )

    token, key = _credentials()
    call = Call(Source.REST, "192.0.2.1", "bench")

    def first(credential: str) -> Callable[[], object]:
        def run() -> object:
            forget_callers()
            return authenticate_caller(call, credential)

        return run

    sides: dict[str, tuple[Callable[[], object], int]] = {
        "the signature alone": (_signature_alone(token), CALLS),
        VERIFY: (lambda: RING.verify(token), CALLS),
        "access token, first": (first(token), FIRST_CALLS),
        TOKEN: (lambda: recall_caller(call, token), CALLS),
        "API key, first": (first(key), FIRST_CALLS),
        KEY: (lambda: recall_caller(call, key), CALLS),
    }
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, (run, calls) in sides.items():
            authenticate_caller(call, token)
            authenticate_caller(call, key)
            taken[name].append(_microseconds(run, calls, waits=calls == FIRST_CALLS))
    return {name: statistics.median(values) for name, values in taken.items()}


def _microseconds(run: Callable[[], object], calls: int, *, waits: bool) -> float:
    """Per call. What only computes is measured in processor time, whatever else runs here."""
    clock = time.perf_counter if waits else time.thread_time
    began = clock()
    for _ in range(calls):
        run()
    return (clock() - began) / calls * 1e6


def _signature_alone(token: str) -> Callable[[], object]:
    import base64

    from apps.accounts.services.signing_keys import RING

    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    public: Any = next(
        key for key in RING._fresh().public.values() if _fits(key, raw, signed.encode())
    )
    return lambda: public.verify(raw, signed.encode())


def _fits(key: Any, signature: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _credentials() -> tuple[str, str]:
    """An access token and an API key of a new organization's owner."""
    from apps.accounts.services.api_keys import create_api_key
    from apps.accounts.services.tokens import issue_tokens
    from apps.core import clock
    from apps.core.actors import Call, SignIn, Source
    from apps.core.tenancy import tenant
    from apps.organizations.selectors import actor_for_user
    from apps.organizations.services.setup import create_organization

    call = Call(Source.REST, "192.0.2.1", "bench")
    made = create_organization(
        None, name="Bench", email="bench@example.com", password="correct horse battery staple"
    )
    sign_in = SignIn(clock.now(), frozenset({"password"}))
    actor = actor_for_user(made.owner, call, sign_in=sign_in)
    with tenant(actor.organization_id):
        key = create_api_key(actor, name="bench", lifetime=timedelta(days=1)).secret
    pair = issue_tokens(
        made.owner, organization_id=actor.organization_id, sign_in=sign_in, call=call
    )
    return pair.access_token, key


if __name__ == "__main__":
    main()
