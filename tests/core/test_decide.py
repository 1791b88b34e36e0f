"""Rights compared with a model that is written the long way round, over random trees (S09)."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from apps.core.actors import Actor, ActorKind, Call, Source
from apps.core.rights import NOWHERE, Grant, Place, decide

ORGANIZATION = UUID(int=1)
TEAMS = [UUID(int=100 + n) for n in range(3)]
GROUPS = [UUID(int=200 + n) for n in range(4)]
RIGHTS = ["view", "update", "start"]

grants = st.builds(
    lambda names, where: Grant(
        frozenset(names),
        f"{sorted(names)} at {where}",
        team_id=where if where in TEAMS else None,
        group_id=where if where in GROUPS else None,
    ),
    st.sets(st.sampled_from(RIGHTS)),
    st.sampled_from([None, *TEAMS, *GROUPS]),
)
owners = st.fixed_dictionaries({group: st.sampled_from([None, *TEAMS]) for group in GROUPS})


def reference(
    held: list[Grant], right: str, groups: set[UUID], owner: dict[UUID, UUID | None]
) -> bool:
    """The rule in the words of the requirement: the organization, else group by group."""
    for grant in held:
        if right not in grant.permissions:
            continue
        if grant.team_id is None and grant.group_id is None:
            return True
        for group in groups:
            if grant.group_id == group:
                return True
            if grant.team_id is not None and owner[group] == grant.team_id:
                return True
    return False


def place_of(groups: set[UUID], owner: dict[UUID, UUID | None]) -> Place:
    return Place(frozenset(groups), frozenset(t for g in groups if (t := owner[g]) is not None))


@given(
    st.lists(grants, max_size=6), st.sampled_from(RIGHTS), st.sets(st.sampled_from(GROUPS)), owners
)
def test_s09_the_decision_equals_the_model_on_random_trees(
    held: list[Grant], right: str, groups: set[UUID], owner: dict[UUID, UUID | None]
) -> None:
    decision = decide(held, right, place_of(groups, owner))
    assert decision.allowed == reference(held, right, groups, owner)
    assert decision.allowed == bool(decision.because)


@given(
    st.lists(grants, max_size=6), st.sampled_from(RIGHTS), st.sets(st.sampled_from(GROUPS)), owners
)
def test_s09_an_actors_reach_holds_exactly_what_it_may_act_on(
    held: list[Grant], right: str, groups: set[UUID], owner: dict[UUID, UUID | None]
) -> None:
    everywhere = [g for g in held if g.team_id is None and g.group_id is None]
    actor = Actor(
        ActorKind.USER,
        ORGANIZATION,
        "ana",
        Call(Source.REST),
        permissions=frozenset(name for g in everywhere for name in g.permissions),
        grants=tuple(g for g in held if g not in everywhere),
    )
    reach, place = actor.reach(right), place_of(groups, owner)
    within = reach is None or bool(
        reach.group_ids & place.group_ids or reach.team_ids & place.team_ids
    )
    assert within == actor.may(right, place) == reference(held, right, groups, owner)


def test_s09_a_viewer_of_one_group_is_no_operator_there_because_of_another() -> None:
    one, two = GROUPS[:2]
    held = [
        Grant(frozenset({"view"}), "viewer on one", group_id=one),
        Grant(frozenset({"view", "update"}), "operator on two", group_id=two),
    ]
    assert not decide(held, "update", Place(frozenset({one})))
    assert decide(held, "update", Place(frozenset({one, two})))
    assert not decide(held, "view", NOWHERE)


def test_scopes_narrow_what_holds_in_groups_too() -> None:
    actor = Actor(
        ActorKind.API_KEY,
        ORGANIZATION,
        "key",
        Call(Source.REST),
        permissions=frozenset({"view", "update"}),
        grants=(Grant(frozenset({"start", "update"}), "team", team_id=TEAMS[0]),),
    )
    narrowed = actor.narrowed(frozenset({"update"}))
    assert narrowed.permissions == {"update"}
    assert [grant.permissions for grant in narrowed.grants] == [{"update"}]
    assert actor.narrowed(frozenset({"view"})).grants == ()
