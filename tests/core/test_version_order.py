"""The order of versions, in Python and in PostgreSQL."""

import pytest
from django.db import connection
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apps.core.filters.versions import version_key

# https://semver.org/#spec-item-11, and what is not SemVer in the places that are documented.
IN_ORDER = [
    "",
    "nightly",
    "r9",
    "r10",
    "r10a",
    "0.0.1",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1-1",
    "1.0.1",
    "1.2",
    "1.10.0",
    "2.0.0",
    "18446744073709551616.0.0",
]
EQUAL = [("v1.2.3", "1.2.3"), ("1.0.0+a", "1.0.0+b.1"), ("1", "1.0.0"), ("01.2", "1.02.0")]

parts = st.sampled_from(
    ["0", "1", "9", "10", "007", "rc", "alpha", "x-y", "", "é", "\n", "~", "🦊"]
)
versions = st.builds(
    lambda lead, core, early, rest: f"{lead}{'.'.join(core)}{early}{rest}",
    st.sampled_from(["", "v", "V", "r"]),
    st.lists(parts, max_size=4),
    st.sampled_from(["", "-rc.1", "-alpha", "-1", "-", "-a..b", "-0a"]),
    st.sampled_from(["", "+b", "+b\nc", " ", "0"]),
)


def test_versions_come_in_the_order_of_semver() -> None:
    assert sorted(reversed(IN_ORDER), key=version_key) == IN_ORDER
    assert len({version_key(each) for each in IN_ORDER}) == len(IN_ORDER)


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_spellings_of_one_version_are_equal(one: str, other: str) -> None:
    assert version_key(one) == version_key(other)


@pytest.mark.django_db
@given(
    st.lists(
        versions | st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=40, deadline=None, database=None)
@example(IN_ORDER)
@example(["1" * 250, "1." * 150, "a" * 250, "0" * 250])
def test_postgresql_orders_versions_like_python(texts: list[str]) -> None:
    usable = [text.replace("\x00", "") for text in texts]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT text, fleetd_version_key(text)"
            ' FROM unnest(%s::text[]) AS text ORDER BY fleetd_version_key(text) COLLATE "C"',
            [usable],
        )
        found = cursor.fetchall()
    assert [key for _, key in found] == [version_key(text) for text, _ in found]
    assert [key for _, key in found] == sorted(version_key(text) for text in usable)
