"""Room for one more: accounts stand below organizations, whose quotas decide.

Whoever knows the quotas registers when it is ready; services here ask before they write.
"""

from collections.abc import Callable

from apps.core.actors import Actor

AskForRoom = Callable[[Actor, str], None]
_ASKED: list[AskForRoom] = []


def ask_for_room(function: AskForRoom) -> None:
    """Registers `function(actor, quota)`, which raises where there is no room."""
    if function not in _ASKED:
        _ASKED.append(function)


def require_room(actor: Actor, quota: str) -> None:
    """Raises unless one more of what `quota` counts fits; call it right before the write."""
    for function in _ASKED:
        function(actor, quota)
