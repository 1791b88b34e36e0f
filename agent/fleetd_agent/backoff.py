"""Waiting between attempts so that a fleet never comes back all at once."""

import random

BASE_SECONDS = 1.0
CAP_SECONDS = 60.0
MAX_EXPONENT = 16


def full_jitter(
    attempt: int,
    *,
    base: float = BASE_SECONDS,
    cap: float = CAP_SECONDS,
    rng: random.Random | None = None,
) -> float:
    """Seconds before attempt number `attempt` (from 0): uniform in 0 .. min(cap, base * 2^attempt).

    "Full jitter" of M. Brooker, Exponential Backoff And Jitter, 2015.
    """
    ceiling = min(cap, base * 2.0 ** min(attempt, MAX_EXPONENT))
    return (rng or _system).uniform(0.0, ceiling)


def after_server_hint(seconds: float, rng: random.Random | None = None) -> float:
    """At least what the server asked for, spread over half as much again."""
    return seconds + (rng or _system).uniform(0.0, seconds / 2)


_system = random.SystemRandom()
