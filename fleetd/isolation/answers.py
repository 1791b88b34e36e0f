"""What a door answered, and whether two answers tell the same."""

import re
from dataclasses import dataclass
from os.path import commonprefix

from fleetd.isolation.world import UUID_TEXT, World

_CHANCE = (
    (re.compile(r"csrfmiddlewaretoken[^>]{0,40}value=\"\w+\""), ""),
    (re.compile(r"X-CSRFToken[^\w]{1,12}\w{32,}"), ""),
    (re.compile(r"nonce[-=][\"']?[\w+/=-]{8,}"), ""),
    (re.compile(r"req_[0-9a-f]{32}"), ""),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|\+00:00)?"), "time"),
    (re.compile(r"\d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"), "time"),
    (re.compile(r"<time.*?</time>", re.DOTALL), "time"),
    (re.compile(r"fld_[a-z]+_\w+"), "secret"),
)
# Different in any two answers, whatever was asked.
_OWN_OF_EACH = frozenset(
    {
        "etag",
        "request-id",
        "set-cookie",
        "content-length",
        "date",
        "expires",
        "ratelimit",
        "retry-after",
    }
)
_CUT = 90


@dataclass(frozen=True)
class Answer:
    """Status or code, headers, and text."""

    status: str
    headers: str
    text: str

    @property
    def whole(self) -> str:
        """Everything that the caller gets."""
        return f"{self.status}\n{self.headers}\n{self.text}"

    @property
    def is_crash(self) -> bool:
        """Whether the product broke."""
        return self.status.startswith("5") or self.status.startswith("crash")


def headers_text(items: dict[str, str]) -> str:
    """Headers as lines."""
    return "\n".join(f"{name.lower()}: {value}" for name, value in sorted(items.items()))


def shape(answer: Answer, world: World, *sent: str) -> tuple[str, str]:
    """An answer without what was sent and without what differs between any two answers."""
    lines = [
        line for line in answer.headers.splitlines() if line.partition(":")[0] not in _OWN_OF_EACH
    ]
    text = "\n".join([*lines, answer.text])
    for pattern, instead in _CHANCE:
        text = pattern.sub(instead, text)
    for value in sent:
        if value not in text:
            continue
        # Also where it stands encoded within an address, after an equals sign.
        text = re.sub(rf"(?:(?<![\w.])|(?<=%3D)){re.escape(value)}(?![\w.])", "_", text)
    ours = world.ours.own_ids
    return answer.status, UUID_TEXT.sub(lambda m: m[0] if m[0] in ours else "new", text)


def difference(got: tuple[str, str], expected: tuple[str, str]) -> str:
    """Where two shapes part, in few words."""
    if got[0] != expected[0]:
        return f"answers {got[0]}, but {expected[0]} for an id that never was"
    start = max(0, len(commonprefix([got[1], expected[1]])) - 20)
    left, right = (" ".join(text[start : start + _CUT].split()) for text in (got[1], expected[1]))
    return f"says {left!r}, but {right!r} for an id that never was"
