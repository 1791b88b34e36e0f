"""What is wrong with a manifest: each problem with its place."""

from collections.abc import Sequence
from dataclasses import dataclass

SHOWN = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: line and column from 1 on, and the path of its key."""

    line: int = 1
    column: int = 1
    path: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that has to be changed. `suggestion` is what was probably meant, or empty."""

    place: Place
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        path = f"{self.place.path}: " if self.place.path else ""
        return f"{self.place.line}:{self.place.column}: {path}{self.message}"


class ManifestErrors(ValueError):
    """All problems of a manifest, in the order of its lines."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.place.line, p.place.column)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def shown(text: str) -> str:
    """A text of somebody else's as a message may quote it: short, and one line."""
    short = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    return repr(short)
