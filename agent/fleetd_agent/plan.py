"""The actions that a deployment consists of, in order, and which of them have to be undone."""

from collections.abc import Container, Iterator
from dataclasses import dataclass

from fleetd_agent.messages import Component, Offer
from fleetd_agent.policy import Bundle, InstallPolicy, Reboot

STAGE, BEFORE, APPLY, AFTER = "stage", "before", "apply", "after"
RESTART, REBOOT, VERIFY = "restart", "reboot", "verify"
# Staging changes nothing that is in use, and looking changes nothing at all.
REPEATABLE = frozenset({STAGE, VERIFY})
AGENT = "fleetd-agent"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that is done for one component; the journal says how many are done."""

    component: int
    stage: str


def is_agent(component: Component) -> bool:
    """Whether a component is the agent itself."""
    return component.target == AGENT and component.kind in ("firmware", "binary")


def handler_name(component: Component, handlers: Container[str]) -> str:
    """Under which name the handler of a component is found."""
    return AGENT if is_agent(component) and AGENT in handlers else component.kind


def actions_of(offer: Offer) -> tuple[Action, ...]:
    """All actions of a deployment once its files are here; the same offer gives the same ones.

    Atomic: everything is staged, then everything switched, then everything verified. Sequential:
    each component goes through all of that before the next one begins.
    """
    numbers = list(range(len(offer.components)))
    if bundle_of(offer) == Bundle.SEQUENTIAL:
        return tuple(action for number in numbers for action in _whole(offer, [number]))
    return tuple(_whole(offer, numbers))


def bundle_of(offer: Offer) -> Bundle:
    """How the components belong together."""
    return offer.policy.bundle if offer.policy else Bundle.ATOMIC


def _whole(offer: Offer, numbers: list[int]) -> Iterator[Action]:
    yield from (Action(number, STAGE) for number in numbers)
    for number in numbers:
        yield from _switch(offer.components[number], number)
    yield from (Action(n, RESTART) for n in numbers if is_agent(offer.components[n]))
    policy = offer.policy or InstallPolicy()
    asking = [n for n in numbers if offer.components[n].needs_reboot]
    if asking and policy.reboot != Reboot.NEVER:
        yield Action(asking[-1], REBOOT)
    yield from (Action(number, VERIFY) for number in numbers)


def _switch(component: Component, number: int) -> Iterator[Action]:
    if component.before:
        yield Action(number, BEFORE)
    yield Action(number, APPLY)
    if component.after:
        yield Action(number, AFTER)


def first_switch(actions: tuple[Action, ...]) -> int:
    """The position of the first action that changes the machine."""
    return next(i for i, action in enumerate(actions) if action.stage not in REPEATABLE)


def has_begun(offer: Offer, action: Action, position: int, *, is_begun: bool) -> bool:
    """Whether an action was entered, where `position` was reached."""
    actions = actions_of(offer)
    place = actions.index(action) if action in actions else len(actions)
    return place < position or (place == position and is_begun)


def to_undo(offer: Offer, position: int, *, is_begun: bool) -> list[int]:
    """The components to be undone after a failure at `position`, the last one first.

    What a sequential deployment has verified stays.
    """
    actions = actions_of(offer)
    kept = set(verified(offer, position))
    begun = {
        action.component
        for place, action in enumerate(actions)
        if action.stage not in REPEATABLE and (place < position or (place == position and is_begun))
    }
    return sorted(begun - kept, reverse=True)


def verified(offer: Offer, position: int) -> list[int]:
    """The components that a sequential deployment is through with."""
    if bundle_of(offer) != Bundle.SEQUENTIAL:
        return []
    return [a.component for a in actions_of(offer)[:position] if a.stage == VERIFY]
