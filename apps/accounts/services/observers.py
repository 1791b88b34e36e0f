"""What higher apps want to know of people's accounts, and have to say about them.

Accounts stand below organizations: these register here, when they are ready, to write what happens
to a person into the audit trail of each of the person's organizations, and to say what those ask.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from apps.accounts.models import User
from apps.core.actors import Call


class SignInObserver(Protocol):
    """Hears of every attempt of a known person to sign in; an empty reason is a success."""

    def __call__(self, user: User, call: Call, *, method: str, reason: str = "") -> None: ...


class ChangeObserver(Protocol):
    """Hears of every change of a person's account, in the change's transaction."""

    def __call__(
        self, user: User, call: Call, *, action: str, changes: Mapping[str, Any]
    ) -> None: ...


_sign_ins: list[SignInObserver] = []
_changes: list[ChangeObserver] = []
_password_lengths: list[Callable[[User], int]] = []


def observe_sign_ins(observer: SignInObserver) -> None:
    """Registers; call in `ready()`."""
    _sign_ins.append(observer)


def observe_changes(observer: ChangeObserver) -> None:
    """Registers; call in `ready()`."""
    _changes.append(observer)


def ask_for_password_length(function: Callable[[User], int]) -> None:
    """Registers who says how long a person's password must be; the strictest answer counts."""
    _password_lengths.append(function)


def tell_sign_in(user: User, call: Call, *, method: str, reason: str = "") -> None:
    """Tells all who asked."""
    for observer in _sign_ins:
        observer(user, call, method=method, reason=reason)


def tell_change(
    user: User, call: Call, *, action: str, changes: Mapping[str, Any] | None = None
) -> None:
    """Tells all who asked."""
    for observer in _changes:
        observer(user, call, action=action, changes=changes or {})


def required_password_length(user: User) -> int:
    """The least length that any of the person's organizations demands."""
    return max((ask(user) for ask in _password_lengths), default=0)
