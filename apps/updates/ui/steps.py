"""The steps of planning a rollout, and at which of them each field is."""

from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

WHAT, WHO, HOW, REVIEW = "what", "who", "how", "review"
STEPS: dict[str, str | Promise] = {
    WHAT: gettext_lazy("What"),
    WHO: gettext_lazy("Who"),
    HOW: gettext_lazy("How"),
    REVIEW: gettext_lazy("Review"),
}
STEPS_IN_ORDER = tuple(STEPS)
_WHAT_FIELDS = ("name", "release")
_WHO_FIELDS = (
    *("filter", "tags", "groups", "devices", "failed_in", "failed_because", "target"),
    *("exclude", "exclude_filter", "exclude_devices"),
    *("target_percent", "target_maximum", "dynamic"),
)


def step_named(text: str | None) -> str:
    """A step named from outside; the first one for any other word."""
    return text if text in STEPS else WHAT


def step_of(field: str) -> str:
    """The step at which a field of the form is; what belongs to no field is said in review."""
    if field in _WHAT_FIELDS:
        return WHAT
    if field in _WHO_FIELDS:
        return WHO
    return REVIEW if field == "form" else HOW


def first_wrong(fields: Iterable[str]) -> str:
    """The first step with one of these fields; empty where there is none."""
    wrong = {step_of(field) for field in fields}
    return next((step for step in STEPS if step in wrong), "")


def is_before(step: str, other: str) -> bool:
    """Whether it comes earlier."""
    return STEPS_IN_ORDER.index(step) < STEPS_IN_ORDER.index(other)


def next_step(step: str) -> str:
    """The step after this one; the last one stays."""
    place = STEPS_IN_ORDER.index(step)
    return STEPS_IN_ORDER[min(place + 1, len(STEPS_IN_ORDER) - 1)]


def step_before(step: str) -> str:
    """The step before this one; empty for the first."""
    place = STEPS_IN_ORDER.index(step)
    return STEPS_IN_ORDER[place - 1] if place else ""
