"""What filters say, what is wrong with them, and what can be written next."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.filters import Field, FilterError, parse
from apps.core.filters.completion import complete, is_filter
from apps.core.filters.lexer import MAX_LENGTH
from apps.core.filters.parser import MAX_CLAUSES, MAX_DEPTH
from apps.devices.filters import DEVICE_FIELDS

SPEC = (
    'connectivity = "offline" AND tags:"lab" AND labels.site = "oslo" AND last_seen < "-7d"'
    ' AND version("app") >= "2.3.0" AND metrics.cpu_temp > 80 AND NOT group = "canary"'
)


def printed(text: str) -> str:
    return str(parse(text, DEVICE_FIELDS))


def failure(text: str) -> FilterError:
    with pytest.raises(FilterError) as raised:
        parse(text, DEVICE_FIELDS)
    return raised.value


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (SPEC, SPEC),
        ("name=a serial=b", 'name = "a" AND serial = "b"'),
        ("a OR b AND c OR d", '("a" OR "b") AND ("c" OR "d")'),
        ("a b OR c", '"a" AND ("b" OR "c")'),
        ("(name=a AND name=b) OR -tags:lab", '(name = "a" AND name = "b") OR NOT tags:"lab"'),
        ("NOT (NOT a)", 'NOT (NOT "a")'),
        ("-(a OR b)", 'NOT ("a" OR "b")'),
        ("last_seen < -7d", 'last_seen < "-7d"'),
        ('labels."rack 4".x:*', None),
        ('labels."rack 4" : *', 'labels."rack 4":*'),
        (r"name = 'it\'s \"5\*\"'", r'name = "it' + r"'s \"5\*\"" + '"'),
        ("memory>=4GiB metrics.disk_ratio>90%", "memory >= 4GiB AND metrics.disk_ratio > 90%"),
        ('version(app) != "2.*"', 'version("app") != "2.*"'),
    ],
)
def test_a_filter_is_shown_as_it_was_understood(text: str, meant: str | None) -> None:
    if meant is None:
        failure(text)
    else:
        assert printed(text) == meant == printed(meant)


@pytest.mark.parametrize(
    ("text", "column", "end", "suggestion"),
    [
        ('conectivity = "offline"', 1, 11, "connectivity"),
        ('name = x AND conectivity = "offline"', 14, 24, "connectivity"),
        ("connectivity = ofline", 16, 21, '"offline"'),
        ("cpu_temp > 3", 1, 8, "metrics.cpu_temp"),
        ('verison("app") > 1', 1, 7, 'version("KEY")'),
        ("tags = lab", 6, 6, ":"),
        ("tags:site=oslo", 6, 14, '"site=oslo"'),
        ("name = x and serial = y", 10, 12, "AND"),
        ('name:"web*"', 6, 11, 'name = "web*"'),
        ("name = a*b", 9, 9, ""),
        ("(name = x", 1, 1, ""),
        ("name = x)", 9, 9, ""),
        ('name = "x', 8, 8, ""),
        ("name =", 7, 7, ""),
        ("", 1, 1, ""),
        ("name = x AND", 13, 13, ""),
        ("metrics.cpu_temp > hot", 20, 22, ""),
        ("last_seen < yesterday", 13, 21, ""),
        ('name = ""', 8, 9, ""),
        ("name = x ! y", 10, 10, "NOT"),
        ("memory > 99999999TB", 10, 19, ""),
        ('last_seen < "-999999999w"', 13, 25, ""),
        ('created_at > "0001-01-01T00:00:00+14:00"', 14, 40, ""),
        ("name:a\x00b", 7, 7, ""),
        ("name:\ud800", 6, 6, ""),
    ],
)
def test_an_error_says_where_and_what_was_meant(
    text: str, column: int, end: int, suggestion: str
) -> None:
    error = failure(text)
    assert (error.column, error.end, error.suggestion) == (column, end, suggestion)
    assert error.code == "invalid_filter"
    assert error.data == {"column": column, "end": end, "suggestion": suggestion}
    assert str(column) in error.message


def test_limits_come_before_any_reading() -> None:
    assert failure("(" * 10_000).column == MAX_LENGTH + 1
    assert failure("(" * 1001).message.startswith("The filter has more than")
    assert failure("(" * 100 + "a" + ")" * 100).column == MAX_DEPTH + 1
    assert "at most 100" in failure(" ".join(["a"] * (MAX_CLAUSES + 1))).message
    printed(" ".join(["a"] * MAX_CLAUSES))
    printed("(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH)


pieces = st.sampled_from(
    ["name", "tags", "version", "labels.", ".", "(", ")", '"', "'", "\\", "*", "=", ":", "!", "<",
     "-", "AND", "OR", "NOT", " ", "80%", "🦊", "\t", ",", "-7d"]
)  # fmt: skip


@given(st.lists(pieces | st.text(max_size=3), max_size=30).map("".join))
@settings(max_examples=300, deadline=None, database=None)
def test_whatever_is_written_it_is_read_or_refused_in_place(text: str) -> None:
    complete(text, len(text), DEVICE_FIELDS, NoData())
    column, end = 1, 1
    try:
        found = parse(text, DEVICE_FIELDS)
    except FilterError as error:
        column, end = error.column, error.end
    else:
        again = parse(str(found), DEVICE_FIELDS)
        column = 1 if again == found else 0
    assert 1 <= column <= end <= len(text) + 1


@pytest.mark.parametrize(
    "text",
    ["connectivity=offline", "conectivity = x", "tags:lab", "a OR b", "-tags:lab", "(a b)",
     'version("app") > 1', "labels.site:oslo"],
)  # fmt: skip
def test_a_filter_in_a_search_box_is_told_from_words(text: str) -> None:
    assert is_filter(text, DEVICE_FIELDS)


@pytest.mark.parametrize(
    "text",
    ["pump 7", "aa:bb:cc:dd:ee:ff", "2001:db8::1", "and or not", "web-1", "Pump%77", "C++", "name",
     "it's", ""],
)  # fmt: skip
def test_words_stay_words(text: str) -> None:
    assert not is_filter(text, DEVICE_FIELDS)


class NoData:
    """Values that only data would know, of which there are none."""

    def values(self, field: Field, key: str) -> Iterable[str]:
        return []

    def keys(self, field: Field) -> Iterable[str]:
        return []


class SomeData(NoData):
    """What a fleet might hold."""

    def values(self, field: Field, key: str) -> Iterable[str]:
        return {"tags": ["lab", "site=oslo"], "labels": ["oslo"], "version": ["2.0"]}.get(
            field.name, []
        )

    def keys(self, field: Field) -> Iterable[str]:
        return {"labels": ["site", "rack 4"], "version": ["app", "kiosk"]}[field.name]


@pytest.mark.parametrize(
    ("before", "typed", "offered"),
    [
        ("", "conn", ["connectivity"]),
        ("name = x AND ", "metrics.disk", ["metrics.disk_ratio"]),
        ("", "-lif", ["-lifecycle"]),
        ("connectivity ", "", ["=", "!="]),
        ("connectivity = ", "off", ['"offline"']),
        ("connectivity = ", '"off', ['"offline"']),
        ("(tags:", "", ['"lab"', '"site=oslo"']),
        ("", "labels.", ["labels.site", 'labels."rack 4"']),
        ("labels.site = ", "", ['"oslo"']),
        ("version(", "", ['"app")', '"kiosk")']),
        ("version(", '"ki', ['"kiosk")']),
        ('version("app") >= ', "", ['"2.0"']),
        ("name = x ", "A", ["AND"]),
        ("last_seen < ", "-7", ['"-7d"']),
        ("name = 'a b' ", "OR", ["OR"]),
    ],
)
def test_what_can_follow_is_offered(before: str, typed: str, offered: list[str]) -> None:
    text = before + typed
    found = complete(text + " and more", len(text), DEVICE_FIELDS, SomeData())
    texts = [item.text for item in found.items]
    assert texts[: len(offered)] == offered
    assert (found.start, found.end) == (len(before), len(text))
