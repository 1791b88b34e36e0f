"""What is written as a manifest reads back as the same; and no text whatever breaks the reader."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from apps.updates.domain.gates import (
    Comparison,
    GateKind,
    GatePolicy,
    Metric,
    MetricCondition,
    OnExhausted,
)
from apps.updates.domain.installation import TIMED_STEPS, Installation, Mode, Reboot
from apps.updates.domain.manifest import (
    Manifest,
    ManifestErrors,
    Place,
    Problem,
    ReleaseName,
    Selection,
    parse_manifest,
    write_manifest,
)
from apps.updates.domain.manifest.reading import MAX_CHARACTERS
from apps.updates.domain.manifest.writing import CannotSay
from apps.updates.domain.notifications import Notifications, Occasion
from apps.updates.domain.plan import PhasePlan, Plan, Rate
from apps.updates.domain.schedule import Schedule, Window
from apps.updates.domain.sites import SiteLimit

EXAMPLE = (Path(__file__).parents[3] / "docs/examples/iot-sensor-update.yaml").read_text()

ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
LINE = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=40)
NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 .+_-]{0,20}[A-Za-z0-9]", fullmatch=True)
RATE = st.integers(1, 999_998).map(lambda n: Decimal(n) / 1_000_000)
SHARES = st.tuples(RATE, RATE).filter(lambda pair: pair[0] < pair[1])
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = st.none() | st.integers(0, 10**9).map(lambda seconds: FIRST + timedelta(seconds=seconds))


@st.composite
def conditions(draw: Any) -> MetricCondition:
    acceptable, unacceptable = draw(SHARES)
    return MetricCondition(
        draw(st.sampled_from(Metric)),
        draw(st.decimals(-1000, 1000, places=3)),
        draw(st.sampled_from(Comparison)),
        acceptable,
        unacceptable,
    )


@st.composite
def gates(draw: Any) -> GatePolicy:
    acceptable, unacceptable = draw(SHARES)
    return GatePolicy(
        kind=draw(st.sampled_from(GateKind)),
        acceptable_rate=acceptable,
        unacceptable_rate=unacceptable,
        alpha=draw(st.sampled_from([Decimal("0.05"), Decimal("0.01"), Decimal("0.123456")])),
        beta=draw(st.sampled_from([Decimal("0.05"), Decimal("0.2")])),
        minimum_devices=draw(st.integers(0, 1000)),
        minimum_soak_seconds=draw(st.integers(0, 90 * 86400)),
        on_exhausted=draw(st.sampled_from(OnExhausted)),
        has_control=draw(st.booleans()),
        conditions=tuple(draw(st.lists(conditions(), max_size=2))),
    )


@st.composite
def phases(draw: Any) -> tuple[PhasePlan, ...]:
    percents = (*sorted(draw(st.sets(st.integers(1, 99), max_size=5))), 100)
    rates = st.none() | st.builds(Rate, st.integers(1, 100), st.integers(100, 1000))
    return tuple(
        PhasePlan(
            percent,
            name=draw(LINE),
            gate=draw(gates()),
            needs_approval=place > 0 and draw(st.booleans()),
            rate=draw(rates),
            maximum_in_flight=draw(st.integers(0, 1000)),
        )
        for place, percent in enumerate(percents)
    )


@st.composite
def schedules(draw: Any) -> Schedule:
    start, end = draw(MOMENTS), draw(MOMENTS)
    weekdays = st.lists(st.integers(1, 7), unique=True, min_size=1).map(tuple)
    windows = st.builds(Window, st.integers(0, 1439), st.integers(0, 1440), weekdays)
    return Schedule(
        start_at=start,
        end_at=end if not (start and end) or end > start else None,
        windows=tuple(draw(st.lists(windows, max_size=3))),
        blackout_dates=tuple(draw(st.lists(st.dates(date(2026, 1, 1)), max_size=3))),
        time_zone=draw(st.sampled_from(["", "UTC", "Europe/Oslo", "Asia/Tokyo"])),
    )


INSTALLATIONS = st.builds(
    Installation,
    mode=st.sampled_from(Mode),
    reboot=st.sampled_from(Reboot),
    maximum_bytes_per_second=st.integers(0, 1 << 40),
    maximum_attempts=st.integers(1, 10),
    backoff_seconds=st.integers(0, 86_400),
    step_timeouts=st.dictionaries(st.sampled_from(TIMED_STEPS), st.integers(1, 7 * 86_400)),
    allow_downgrade=st.booleans(),
)
TOLD = st.builds(
    Notifications,
    st.sets(st.sampled_from(["a@b.test", "ops@acme.test"]), min_size=1).map(sorted).map(tuple),
    st.sets(st.sampled_from([each.value for each in Occasion])).map(sorted).map(tuple),
    st.integers(0, 100),
)


def possible(plan: Plan) -> bool:
    """Whether its parts go together."""
    return not (plan.supersedes and plan.installation.mode is Mode.DOWNLOAD_ONLY)


PLANS = st.builds(
    Plan,
    phases(),
    schedules(),
    INSTALLATIONS,
    st.integers(-100, 100),
    is_dynamic=st.booleans(),
    supersedes=st.booleans(),
    notifications=st.just(Notifications()) | TOLD,
    site_limit=st.none()
    | st.builds(
        SiteLimit,
        st.sampled_from(["labels.site", "labels.rack 7"]),
        st.integers(1, 100),
        st.just(0) | st.integers(102_400, 1 << 40),
    ),
).filter(possible)
WHOM: dict[str, Any] = {
    "device_ids": st.lists(st.uuids(), max_size=2).map(tuple),
    "tags": st.lists(LINE, max_size=2).map(tuple),
    "groups": st.lists(st.uuids().map(str), max_size=2).map(tuple),
    "filter": ANY_TEXT.map(str.strip),
    "failed_in": st.none() | st.uuids(),
}
SELECTIONS = st.builds(Selection, **WHOM)
TARGETS = st.builds(
    Selection, **WHOM, percent=st.integers(0, 100), maximum=st.integers(0, 10_000_000)
)
LABELS = st.dictionaries(ANY_TEXT.filter(bool), ANY_TEXT, max_size=3)
MANIFESTS = st.builds(
    Manifest,
    name=LINE,
    selection=TARGETS,
    release=st.builds(ReleaseName, NAME, LINE),
    plan=PLANS,
    excluded=st.none() | SELECTIONS.filter(lambda found: found != Selection()),
    labels=LABELS,
    annotations=LABELS,
    requires_approval=st.booleans(),
    timeout_seconds=st.integers(60, 7 * 86_400),
)


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(MANIFESTS)
def test_what_is_written_reads_back_as_the_same(manifest: Manifest) -> None:
    text = write_manifest(manifest)
    assert parse_manifest(text) == manifest
    assert write_manifest(parse_manifest(text)) == text


def test_what_a_manifest_cannot_say_is_refused_by_name() -> None:
    plan = Plan((PhasePlan(100, name="a"),), priority=1000)
    manifest = Manifest("x", Selection(), ReleaseName("a", "1"), plan)
    with pytest.raises(CannotSay, match="priority|-100 to 100"):
        write_manifest(manifest)


def read(text: str) -> None:
    """Reads a text: a manifest, or problems that all stand somewhere, and nothing else."""
    problems: tuple[Problem, ...] = ()
    try:
        parse_manifest(text)
    except ManifestErrors as error:
        problems = error.problems or (Problem(Place(0, 0), ""),)
    assert all(p.place.line >= 1 and p.place.column >= 1 for p in problems)
    assert all(p.message and "\n" not in p.message for p in problems)


@settings(max_examples=300, deadline=2000)
@given(st.text(max_size=400))
def test_any_text_is_read_or_refused(text: str) -> None:
    read(text)


@settings(max_examples=300, deadline=2000)
@given(st.text(alphabet="[]{}:,-?&*!|>%@`\"'#\\ \n\tax0", max_size=300))
def test_any_heap_of_punctuation_is_read_or_refused(text: str) -> None:
    read(text)


SNIPPETS = ["", "null", "~", "[]", "{}", "- x", "a: b", "-1", "1e400", "9" * 30, "\t", '"\\x00"']
SNIPPETS += ["true", "100%", "0%", "24:00", "25:00", "9999-99-99", "&a x", "*a", "!!int 3", "\x85"]
SNIPPETS += ["sha256:" + "0" * 64, "٣", "3٣", "0x10", "nan", "inf", "P1D", "1h" * 50, "é" * 300]


@settings(max_examples=300, deadline=4000)
@given(st.data())
def test_the_example_with_anything_put_into_it_is_read_or_refused(data: Any) -> None:
    lines = EXAMPLE.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(lines) - 1))
        key, colon, _ = lines[place].partition(":")
        change = data.draw(st.sampled_from(["value", "drop", "twice", "indent", "text"]))
        snippet = data.draw(st.sampled_from(SNIPPETS) | ANY_TEXT)
        lines[place : place + 1] = {
            "value": [f"{key}{colon} {snippet}"],
            "drop": [],
            "twice": [lines[place]] * 2,
            "indent": ["  " + lines[place]],
            "text": [lines[place], snippet],
        }[change] or [""]
    read("\n".join(lines))


@pytest.mark.parametrize(
    "text",
    [
        "[" * MAX_CHARACTERS,
        "{" * MAX_CHARACTERS,
        "- " * (MAX_CHARACTERS // 2),
        "a:\n" + " " * (MAX_CHARACTERS - 10) + "x",
        "? " * (MAX_CHARACTERS // 2),
        "x: " + "a" * (MAX_CHARACTERS - 10),
        "".join(f"k{n}: 1\n" for n in range(4900)),
        "k: {" + ", ".join(f"k{n}: 1" for n in range(2000)) + "}",
        "'" + "''" * (MAX_CHARACTERS // 2 - 2),
        "# x\n" * (MAX_CHARACTERS // 4),
        "&a " * (MAX_CHARACTERS // 3),
        "spec: {" + "a" * 60_000 + ": {b: c}}",
    ],
    ids=range(12),
)
def test_hostile_texts_are_refused_within_a_deadline(text: str) -> None:
    began = datetime.now(UTC)
    read(text[:MAX_CHARACTERS])
    assert (datetime.now(UTC) - began).total_seconds() < 10
