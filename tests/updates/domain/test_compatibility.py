"""Whether releases fit, and which way leads to one."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.filters.versions import version_key
from apps.updates.domain.compatibility import (
    BadRange,
    ReleaseFacts,
    Unreachable,
    obstacles,
    parse_rule,
    plan_path,
)


def release(version: str, *, name: str = "app", **facts: object) -> ReleaseFacts:
    """A release whose one component is called like itself."""
    return ReleaseFacts(f"{name}-{version}", name, version, (name,), **facts)


def versions(path: object) -> list[str]:
    """A way, as its releases' names."""
    assert isinstance(path, tuple), path
    return [str(each) for each in path]


@pytest.mark.parametrize(
    ("text", "version", "holds"),
    [
        (">=1.2, <2.0", "1.10", True),
        (">=1.2, <2.0", "2.0", False),
        (">=1.2, <2.0", "2.0.0-rc.1", True),
        ("!=1.5", "1.5.0", False),
        ("1.5", "1.5.0+build", True),
        ("*", "anything", True),
    ],
)
def test_a_range_holds_by_the_order_of_versions(text: str, version: str, *, holds: bool) -> None:
    assert parse_rule("app", text).holds({"app": version}, version_key) is holds


@pytest.mark.parametrize("text", ["", ">=", ">= 1 2", "1,", "~1", "> =1", "=" * 50, "1\n"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(BadRange):
        parse_rule("app", f"{text}," if text == "1\n" else text)


def test_each_obstacle_says_what_is_wanted_and_what_is_there() -> None:
    stone = release("2.0", is_stepping_stone=True)
    new = release(
        "3.0",
        requires=(parse_rule("base", ">=1.2"),),
        conflicts=(parse_rule("legacy", "*"),),
    )
    installed = {"app": "1.0", "base": "1.1", "legacy": "0.1"}
    found = obstacles(installed, new, [stone, new], version_key)
    assert [(o.code, o.component, o.wanted, o.found) for o in found] == [
        ("requires_not_met", "base", ">=1.2", "1.1"),
        ("conflicts_with_installed", "legacy", "*", "0.1"),
        ("stepping_stone_skipped", "app", "2.0", "1.0"),
    ]
    assert found[2].message == "app 1.0 has to pass through 2.0 first."


def test_a_device_without_the_component_has_no_stone_to_pass() -> None:
    stone, new = release("2.0", is_stepping_stone=True), release("3.0")
    assert obstacles({}, new, [stone], version_key) == ()
    assert versions(plan_path({}, [stone, new], new, version_key)) == ["app 3.0"]


def test_the_way_passes_through_every_stone_and_no_other_release() -> None:
    line = [
        release("1.0"),
        release("1.5"),
        release("2.0", is_stepping_stone=True),
        release("2.5"),
        release("3.0", is_stepping_stone=True),
        release("3.1"),
    ]
    way = plan_path({"app": "1.0"}, line, line[-1], version_key)
    assert versions(way) == ["app 2.0", "app 3.0", "app 3.1"]
    assert versions(plan_path({"app": "2.5"}, line, line[-1], version_key)) == [
        "app 3.0",
        "app 3.1",
    ]
    assert plan_path({"app": "3.1"}, line, line[-1], version_key) == ()


def test_what_is_required_is_installed_first() -> None:
    base = release("2.0", name="base")
    goal = release("3.0", requires=(parse_rule("base", ">=2"),))
    way = plan_path({"app": "1.0", "base": "1.0"}, [base, goal], goal, version_key)
    assert versions(way) == ["base 2.0", "app 3.0"]


def test_what_nothing_provides_is_named() -> None:
    goal = release("3.0", requires=(parse_rule("base", ">=2"),))
    way = plan_path({}, [release("1.0", name="base"), goal], goal, version_key)
    assert isinstance(way, Unreachable)
    assert (way.code, way.reason) == (
        "nothing_provides",
        "No release that can be installed provides base >=2.",
    )


def test_releases_that_wait_for_one_another_are_a_cycle() -> None:
    goal = release("2.0", requires=(parse_rule("base", ">=2"),))
    base = release("2.0", name="base", requires=(parse_rule("app", ">=2"),))
    way = plan_path({"app": "1.0", "base": "1.0"}, [goal, base], goal, version_key)
    assert isinstance(way, Unreachable)
    assert way.code == "cycle"


def test_a_conflict_that_no_release_ends_is_said() -> None:
    goal = release("2.0", conflicts=(parse_rule("legacy", "*"),))
    way = plan_path({"legacy": "1"}, [goal], goal, version_key)
    assert isinstance(way, Unreachable)
    assert way.code == "conflict"


def test_a_stone_that_cannot_be_installed_is_a_dead_end() -> None:
    stone = release("2.0", is_stepping_stone=True, requires=(parse_rule("base", "*"),))
    goal = release("3.0")
    way = plan_path({"app": "1.0"}, [stone, goal], goal, version_key)
    assert isinstance(way, Unreachable)
    assert way.code == "dead_end"


def test_a_search_without_end_is_given_up() -> None:
    names = [f"c{n}" for n in range(14)]
    parts = [release("1.0", name=name) for name in names]
    blocked = tuple(parse_rule(name, "*") for name in names)
    goal = release("2.0", requires=(*blocked, parse_rule("missing", "*")))
    way = plan_path({}, [*parts, goal], goal, version_key)
    assert isinstance(way, Unreachable)
    assert way.code == "too_many_ways"


NUMBERS = ("1.0", "2.0", "3.0")
ranges = st.sampled_from(["*", ">=2.0", "<2.0", "=3.0", ">1.0, <3.0"])
rules = st.lists(st.builds(parse_rule, st.sampled_from(["app", "base"]), ranges), max_size=2).map(
    tuple
)


@st.composite
def stores(draw: st.DrawFn) -> list[ReleaseFacts]:
    """Up to six releases of two components with any rules."""
    return [
        ReleaseFacts(
            f"{name}-{version}",
            name,
            version,
            (name,),
            requires=draw(rules),
            conflicts=draw(rules),
            is_stepping_stone=draw(st.booleans()),
        )
        for name, version in product(("app", "base"), NUMBERS)
        if draw(st.booleans()) or (name, version) == ("app", "3.0")
    ]


installs = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(NUMBERS) for name in ("app", "base")}
)


@settings(max_examples=300, deadline=None)
@given(stores(), installs)
def test_every_step_of_a_way_is_allowed_and_it_ends_at_the_goal(
    store: list[ReleaseFacts], installed: dict[str, str]
) -> None:
    goal = next(r for r in store if r.id == "app-3.0")
    way = plan_path(installed, store, goal, version_key)
    shortest = _shortest(installed, store, goal)
    if isinstance(way, Unreachable):
        assert shortest is None
        return
    assert len(way) == shortest
    state = dict(installed)
    for step in way:
        line = [r for r in store if r.name == step.name]
        assert obstacles(state, step, line, version_key) == ()
        state.update(dict.fromkeys(step.components, step.version))
    assert state["app"] == "3.0"


def _shortest(
    installed: dict[str, str], store: list[ReleaseFacts], goal: ReleaseFacts
) -> int | None:
    """The length of the shortest way, by trying everything."""
    states, steps = [installed], 0
    while steps <= 6:
        if any(state.get("app") == "3.0" for state in states):
            return steps
        states = [
            {**state, step.name: step.version}
            for state in states
            for step in store
            if not obstacles(state, step, [r for r in store if r.name == step.name], version_key)
            and (step.id == goal.id or state.get(step.name, "0") < step.version)
        ]
        steps += 1
    return None
