"""What happens around a transaction's end: nothing leaves the process before commit."""

from collections.abc import Callable

from django.db import transaction


def after_commit(action: Callable[[], None]) -> None:
    """Runs `action` once the outermost transaction has committed, never if it rolls back.

    A failure of `action` is logged and does not reach the caller: the change is stored already,
    and sweeps find what was not announced.
    """
    transaction.on_commit(action, robust=True)
