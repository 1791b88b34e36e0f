"""Whether a release fits onto what a device has installed, and which way leads there.

Versions are compared by a key, a function from a version to a text in whose order they come; the
caller hands it in, because the same order is needed in the database.
"""

import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Key = Callable[[str], str]
Installed = Mapping[str, str]

MAX_COMPARISONS = 8
# Sets of installed versions that the search for a way looks at before it gives up.
MAX_STATES = 5000
ANY = "*"
_COMPARISON = re.compile(r"(>=|<=|!=|>|<|=)?\s*([0-9A-Za-z][0-9A-Za-z._+~-]{0,63})", re.ASCII)


class BadRange(ValueError):
    """A text that is no range of versions."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One bound of a range."""

    operator: str
    version: str

    def holds(self, version: str, key: Key) -> bool:
        """Whether an installed version keeps to it."""
        mine, bound = key(version), key(self.version)
        return {
            "=": mine == bound,
            "!=": mine != bound,
            "<": mine < bound,
            "<=": mine <= bound,
            ">": mine > bound,
            ">=": mine >= bound,
        }[self.operator]


@dataclass(frozen=True, slots=True)
class VersionRule:
    """A range of installed versions of one component; no comparisons mean any version."""

    component: str
    comparisons: tuple[Comparison, ...] = ()

    @property
    def versions(self) -> str:
        """The range as it is written."""
        return ", ".join(f"{c.operator}{c.version}" for c in self.comparisons) or ANY

    def holds(self, installed: Installed, key: Key) -> bool:
        """Whether the component is installed in such a version; one that is missing is not."""
        version = installed.get(self.component)
        return version is not None and all(c.holds(version, key) for c in self.comparisons)

    def __str__(self) -> str:
        return self.component if not self.comparisons else f"{self.component} {self.versions}"


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """As much of a release as says onto what it fits."""

    id: str
    name: str
    version: str
    components: tuple[str, ...]
    requires: tuple[VersionRule, ...] = ()
    conflicts: tuple[VersionRule, ...] = ()
    is_stepping_stone: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a release cannot be installed now.

    `code` is requires_not_met, conflicts_with_installed, stepping_stone_skipped or not_compatible;
    `wanted` is the range, the version to pass through or the comparison that fails, `found` what
    the device has instead, or empty.
    """

    code: str
    component: str
    wanted: str
    found: str

    @property
    def message(self) -> str:
        """One sentence."""
        found = self.found or "nothing"
        if self.code == "requires_not_met":
            return f"Needs {self.component} {self.wanted}; installed is {found}."
        if self.code == "not_compatible":
            return f"Only for devices with {self.wanted}; this one has {found}."
        if self.code == "conflicts_with_installed":
            return f"Does not go with {self.component} {self.wanted}; installed is {found}."
        return f"{self.component} {found} has to pass through {self.wanted} first."


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No way leads to the goal.

    `code` is nothing_provides, cycle, conflict, dead_end or too_many_ways.
    """

    code: str
    reason: str
    obstacles: tuple[Obstacle, ...] = field(default=())


def parse_rule(component: str, versions: str) -> VersionRule:
    """A rule from its two texts. Raises `BadRange`."""
    if versions.strip() == ANY:
        return VersionRule(component)
    parts = versions.split(",")
    if len(parts) > MAX_COMPARISONS:
        raise BadRange("A range has at most 8 comparisons.")
    found = [_COMPARISON.fullmatch(part.strip()) for part in parts]
    if None in found:
        raise BadRange("A range looks like >=1.2, <2.0, or * for any version.")
    return VersionRule(
        component, tuple(Comparison(match[1] or "=", match[2]) for match in found if match)
    )


def obstacles(
    installed: Installed, release: ReleaseFacts, line: Iterable[ReleaseFacts], key: Key
) -> tuple[Obstacle, ...]:
    """What keeps a device with these versions from installing `release` now; none means it may.

    `line` holds the other releases of the same name; of these the stepping stones between the
    installed version and the release count. A device that has nothing of a stone's components
    installed has nothing to pass through.
    """
    return (
        *_rules("requires_not_met", release.requires, installed, key, is_wanted=True),
        *_rules("conflicts_with_installed", release.conflicts, installed, key, is_wanted=False),
        *_skipped(installed, release, line, key),
    )


def plan_path(
    installed: Installed, releases: Collection[ReleaseFacts], goal: ReleaseFacts, key: Key
) -> tuple[ReleaseFacts, ...] | Unreachable:
    """The fewest installations, in their order, that bring a device to `goal`; empty: it is there.

    Breadth first over sets of installed versions. On the way nothing is ever downgraded; whether
    the goal itself may be one is not decided here. Of ways of the same length the one over newer
    versions is taken, so the answer is always the same.
    """
    wanted = _relevant([*(r for r in releases if r.id != goal.id), goal])
    newest = sorted(wanted, key=lambda r: (key(r.version), r.name, r.id), reverse=True)
    start = {name: installed[name] for name in _names(wanted) if name in installed}
    queue: deque[tuple[dict[str, str], tuple[ReleaseFacts, ...]]] = deque([(start, ())])
    seen = {_frozen(start)}
    while queue:
        state, way = queue.popleft()
        if _is_on(state, goal, key):
            return way
        for release in newest:
            if not _may_follow(state, release, goal, wanted, key):
                continue
            after = {**state, **dict.fromkeys(release.components, release.version)}
            if _frozen(after) not in seen:
                seen.add(_frozen(after))
                queue.append((after, (*way, release)))
        if len(seen) > MAX_STATES:
            return Unreachable("too_many_ways", "There are too many combinations to search.")
    return _why(start, wanted, goal, key)


def _may_follow(
    state: Installed,
    release: ReleaseFacts,
    goal: ReleaseFacts,
    all_releases: Sequence[ReleaseFacts],
    key: Key,
) -> bool:
    """Whether `release` may be the next installation on the way to the goal."""
    if release.id != goal.id and _goes_back(state, release, key):
        return False
    return not obstacles(state, release, _line(release, all_releases), key)


def _line(release: ReleaseFacts, releases: Iterable[ReleaseFacts]) -> list[ReleaseFacts]:
    return [other for other in releases if other.name == release.name]


def _rules(
    code: str, rules: Iterable[VersionRule], installed: Installed, key: Key, *, is_wanted: bool
) -> list[Obstacle]:
    return [
        Obstacle(code, rule.component, rule.versions, installed.get(rule.component, ""))
        for rule in rules
        if rule.holds(installed, key) is not is_wanted
    ]


def _skipped(
    installed: Installed, release: ReleaseFacts, line: Iterable[ReleaseFacts], key: Key
) -> list[Obstacle]:
    """The first stepping stone that would be jumped over, if there is one."""
    goal = key(release.version)
    stones = [r for r in line if r.is_stepping_stone and key(r.version) < goal]
    for stone in sorted(stones, key=lambda r: key(r.version)):
        for name in stone.components:
            if name in installed and key(installed[name]) < key(stone.version):
                found = installed[name]
                return [Obstacle("stepping_stone_skipped", name, stone.version, found)]
    return []


def _is_on(installed: Installed, release: ReleaseFacts, key: Key) -> bool:
    """Whether every component of the release is installed in its version."""
    wanted = key(release.version)
    return all(name in installed and key(installed[name]) == wanted for name in release.components)


def _goes_back(installed: Installed, release: ReleaseFacts, key: Key) -> bool:
    """Whether installing it would put an older version in place of a newer one."""
    version = key(release.version)
    return any(key(installed[name]) > version for name in release.components if name in installed)


def _names(releases: Iterable[ReleaseFacts]) -> set[str]:
    """All components that these releases install or ask for."""
    names: set[str] = set()
    for release in releases:
        names.update(release.components)
        names.update(rule.component for rule in (*release.requires, *release.conflicts))
    return names


def _relevant(releases: Sequence[ReleaseFacts]) -> list[ReleaseFacts]:
    """The last one, and all that can matter on the way to it."""
    found = [releases[-1]]
    while True:
        names = _names(found)
        lines = {release.name for release in found}
        more = [
            r
            for r in releases
            if r not in found and (r.name in lines or not names.isdisjoint(r.components))
        ]
        if not more:
            return found
        found += more


def _frozen(state: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(state.items())


def _why(
    installed: Installed, releases: Sequence[ReleaseFacts], goal: ReleaseFacts, key: Key
) -> Unreachable:
    """The reason to show, where the search found no way."""
    found = obstacles(installed, goal, _line(goal, releases), key)
    for rule in goal.requires:
        if rule.holds(installed, key):
            continue
        providers = _providers(rule, releases, key)
        if not providers:
            reason = f"No release that can be installed provides {rule}."
            return Unreachable("nothing_provides", reason, found)
        if all(_asks_for(each, goal, installed, releases, key) for each in providers):
            reason = f"{rule} and {goal} each need the other to be installed before."
            return Unreachable("cycle", reason, found)
    clash = next((o for o in found if o.code == "conflicts_with_installed"), None)
    if clash is not None:
        return Unreachable("conflict", clash.message, found)
    reason = " ".join(each.message for each in found) or "Every way ends before the goal."
    return Unreachable("dead_end", reason, found)


def _providers(rule: VersionRule, releases: Iterable[ReleaseFacts], key: Key) -> list[ReleaseFacts]:
    return [
        r
        for r in releases
        if rule.component in r.components and rule.holds({rule.component: r.version}, key)
    ]


def _asks_for(
    release: ReleaseFacts,
    goal: ReleaseFacts,
    installed: Installed,
    releases: Sequence[ReleaseFacts],
    key: Key,
) -> bool:
    """Whether installing `release` leads back to needing `goal` first."""
    waiting, seen = [release], {release.id}
    while waiting:
        current = waiting.pop()
        if current.id == goal.id:
            return True
        for rule in current.requires:
            if rule.holds(installed, key):
                continue
            fresh = [r for r in _providers(rule, releases, key) if r.id not in seen]
            seen.update(r.id for r in fresh)
            waiting += fresh
    return False
