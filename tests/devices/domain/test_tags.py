"""The rules of tags."""

from hypothesis import given
from hypothesis import strategies as st

from apps.devices.domain.tags import changed, normalized

TAGS = st.sets(st.sampled_from("abcde"))


@given(st.text())
def test_what_is_accepted_is_normal_already(text: str) -> None:
    tag = normalized(text)
    assert tag is None or (normalized(tag) == tag and 1 <= len(tag) <= 64 and tag == tag.lower())


@given(TAGS, TAGS, TAGS)
def test_a_change_is_idempotent_and_sorted(have: set[str], add: set[str], rid: set[str]) -> None:
    once = changed(have, add=add, remove=rid)
    assert once == sorted((have | add) - rid)
    assert changed(once, add=add, remove=rid) == once
