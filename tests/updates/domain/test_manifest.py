"""Reading manifests: what they mean, and every problem with its line and column."""

import textwrap
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from apps.devices.filters import DEVICE_FIELDS
from apps.updates.domain.gates import GateKind, OnExhausted
from apps.updates.domain.manifest import (
    Manifest,
    ManifestErrors,
    NewRelease,
    Selection,
    parse_manifest,
)
from apps.updates.domain.manifest.releasing import NAMES, filter_of_check
from apps.updates.domain.manifest.schema import KEYS
from apps.updates.domain.manifest.selecting import FIELDS

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "iot-sensor-update.yaml"
SMALL = """\
apiVersion: fleet/v1
kind: Deployment
metadata:
  name: all
spec:
  selector:
    all: true
  template:
    spec:
      release: {name: app, version: 1.10}
"""


def problems(text: str) -> list[tuple[int, int, str]]:
    """Line, column and path of everything that is refused."""
    with pytest.raises(ManifestErrors) as caught:
        parse_manifest(text)
    return [(p.place.line, p.place.column, p.place.path) for p in caught.value.problems]


def message(text: str) -> str:
    """All that is said of a manifest that is refused."""
    with pytest.raises(ManifestErrors) as caught:
        parse_manifest(text)
    return str(caught.value)


def with_spec(*lines: str) -> str:
    """The small manifest with more under `spec`."""
    return SMALL + "".join(textwrap.indent(textwrap.dedent(line), "  ") for line in lines)


def example() -> Manifest:
    """The published example, edited."""
    return parse_manifest(EXAMPLE.read_text())


def test_the_published_example_selects_by_labels_and_by_the_installed_firmware() -> None:
    assert example().selection.filter == (
        'labels.device-type = "temp-sensor-mk3" AND labels.environment = "production"'
        ' AND (labels.region = "us-west" OR labels.region = "us-east" OR labels.region = "eu-west")'
        ' AND NOT version("sensor-firmware") = "v2.4.1"'
    )


def test_the_published_example_has_four_phases_with_soak_and_approval() -> None:
    phases = example().plan.phases
    assert [phase.percent for phase in phases] == [1, 10, 50, 100]
    assert [phase.gate.minimum_soak_seconds for phase in phases] == [7200, 14400, 21600, 0]
    assert [phase.needs_approval for phase in phases] == [False, True, False, False]
    gate = phases[0].gate
    assert gate.kind is GateKind.SEQUENTIAL
    assert (gate.acceptable_rate, gate.unacceptable_rate) == (Decimal("0.01"), Decimal("0.02"))
    assert gate.on_exhausted is OnExhausted.PROMOTE_IF_CLEAN


def test_a_percentage_at_work_is_of_the_target_and_one_device_at_least() -> None:
    manifest = example()
    assert {p.maximum_in_flight for p in manifest.plan_for(1000, "UTC").phases} == {50}
    assert {p.maximum_in_flight for p in manifest.plan_for(3, "UTC").phases} == {1}


def test_the_published_example_becomes_a_release_of_two_components() -> None:
    release = example().release
    assert isinstance(release, NewRelease)
    firmware, config = release.parts
    assert (release.name, release.version) == ("sensor-firmware", "v2.4.1")
    assert (firmware.kind, firmware.target, firmware.size) == ("firmware", "rootfs", 524288)
    assert sorted(firmware.hooks) == ["before", "roll_back"]
    assert sorted(config.hooks) == ["after"]
    assert config.hooks["after"]["timeout_seconds"] == 240
    assert config.hooks["after"]["command"][:2] == ["/bin/sh", "-ec"]
    assert [check["name"] for check in config.checks] == ["http", "exec", "tcp"]
    assert {check["deadline_seconds"] for check in config.checks} == {380}
    assert "verify-firmware" in release.notes
    assert release.requirements[0].filter == (
        'metrics.temperature_celsius > "-10" AND metrics.temperature_celsius < "50"'
    )


def test_the_published_example_waits_for_the_night_and_for_approval() -> None:
    manifest = example()
    schedule = manifest.plan.schedule
    assert [(w.start_minute, w.end_minute) for w in schedule.windows] == [(120, 360)]
    assert schedule.blackout_dates[0] == date(2026, 12, 24)
    assert manifest.plan.installation.maximum_bytes_per_second == 1_000_000
    assert manifest.requires_approval
    assert manifest.timeout_seconds == 900
    assert manifest.labels["criticality"] == "medium"
    assert manifest.annotations["jira-ticket"] == "IOT-2843"


def test_texts_are_taken_as_they_are_written() -> None:
    release = parse_manifest(SMALL).release
    assert (release.name, release.version) == ("app", "1.10")


def test_a_key_that_is_unknown_is_refused_at_its_place_with_the_nearest_one() -> None:
    text = with_spec("rollout:\n  maxUnavailible: 5%\n")
    assert problems(text) == [(12, 5, "spec.rollout.maxUnavailible")]
    assert "did you mean 'maxUnavailable'?" in message(text)


def test_all_problems_are_told_at_once_in_the_order_of_the_lines() -> None:
    text = with_spec(
        "notifications: {slack: x}\n",
        "rollout: {progressTimeout: 900, maxSurge: 10%}\n",
        "strategy: {type: BlueBerry}\n",
    ).replace("kind: Deployment", "kind: Daemon")
    assert [path for _, _, path in problems(text)] == [
        "kind",
        "spec.notifications.slack",
        "spec.rollout.progressTimeout",
        "spec.rollout.maxSurge",
        "spec.strategy.type",
    ]


def test_a_key_that_stands_twice_is_refused_with_both_lines() -> None:
    text = SMALL.replace("  name: all\n", "  name: all\n  name: other\n")
    assert problems(text) == [(5, 3, "metadata.name")]
    assert "stands in line 4 already" in message(text)


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("", (1, 1), "empty"),
        ("a: [1", (1, 6), "no YAML"),
        ("a: 1\n---\nb: 2\n", (2, 1), "second document"),
        ("a: &x 1\n", (1, 4), "Anchors"),
        ("a: *x\n", (1, 4), "References"),
        ("a: !!python/object:os.system x\n", (1, 4), "Tags"),
        ("a: !x 1\n", (1, 4), "Tags"),
        ('a: "\\0"\n', (1, 4), "U+0000"),
        ('a: "\\ud800"\n', (1, 4), "U+D800"),
        ('a: "\\UFFFFFFFF"\n', (1, 1), "names no character"),
        ("a: \x07\n", (1, 4), "U+0007"),
        ("? [a]\n: b\n", (1, 3), "key is a text"),
        ("- a\n", (1, 1), "an object, not a list"),
        ("[" * 500, (1, 22), "levels deep"),
        ("[" + "1," * 6000 + "]", (1, 10000), "at most 5000 values"),
        ("x" * 70_000, (1, 1), "65536 characters"),
    ],
)
def test_what_is_no_manifest_is_refused_where_it_goes_wrong(
    text: str, where: tuple[int, int], words: str
) -> None:
    with pytest.raises(ManifestErrors) as caught:
        parse_manifest(text)
    assert words in str(caught.value)
    assert where in [(p.place.line, p.place.column) for p in caught.value.problems]


def test_laughing_a_billion_times_takes_no_time() -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    names = "abcdefghijk"
    for one, two in zip(names, names[1:], strict=False):
        lines.append(f"{two}: &{two} [{','.join([f'*{one}'] * 10)}]")
    began = time.monotonic()
    assert "Anchors are not read" in message("\n".join(lines))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("weight: 10\n", "weight: 1\n", "spec.strategy.canary.steps"),
        ("weight: 100\n", "weight: 99\n", "spec.strategy.canary.steps"),
        ("duration: 4h", "duration: 4", "spec.strategy.canary.steps[1].duration"),
        ("duration: 4h", "duration: 900d", "spec.strategy.canary.steps[1].duration"),
        ("threshold: 0.98", "threshold: 98", "spec.strategy.canary.analysis.threshold"),
        ("- error-rate", "- restarts", "spec.strategy.canary.analysis.metrics[0]"),
        ("target: rootfs", "target: /dev/mtd0", "spec.template.spec.artifacts[0].target"),
        ("target: /etc/sensor/config.json", "target: x", "spec.template.spec.artifacts[1].target"),
        ("critical: true", "critical: false", "spec.template.spec.hooks.postUpdate[1].critical"),
        ("backup: true", "backup: false", "spec.template.spec.artifacts[1].backup"),
        ("path: /api", "path: api", "spec.template.spec.healthCheck.httpGet.path"),
        ('start: "02:00"', "start: 2am", "spec.template.spec.scheduling.window.start"),
        ('"device_local"', "Mars/Base", "spec.template.spec.scheduling.window.timezone"),
        ("priority: medium", "priority: now", "spec.template.spec.scheduling.priority"),
        ("network: 1MB", "network: fast", "spec.template.spec.resources.limits.network"),
        ("maxUnavailable: 5%", "maxUnavailable: 0%", "spec.rollout.maxUnavailable"),
        ("progressTimeout: 15m", "progressTimeout: 5s", "spec.rollout.progressTimeout"),
        ("operator: NotIn", "operator: Exists", "spec.selector.matchExpressions[1].values"),
    ],
)
def test_one_wrong_value_is_refused_at_its_own_key(before: str, after: str, path: str) -> None:
    text = EXAMPLE.read_text().replace(before, after, 1)
    assert path in [found for _, _, found in problems(text)]


def test_versions_of_one_release_have_to_agree() -> None:
    first, second = "version: v2.4.1\n        type: config", "version: v2.5.0\n        type: config"
    text = EXAMPLE.read_text().replace(first, second)
    assert [path for _, _, path in problems(text)] == ["spec.template.spec.artifacts[1].version"]


def test_every_device_is_meant_only_where_somebody_says_so() -> None:
    assert parse_manifest(SMALL).selection == Selection()
    assert "names no device" in message(SMALL.replace("    all: true\n", "    tags: []\n"))
    assert "Without a `selector`" in message(SMALL.replace("  selector:\n    all: true\n", ""))
    assert "nothing else" in message(SMALL.replace("all: true", "all: true\n    tags: [lab]"))


def test_labels_do_not_mix_with_other_ways_to_name_devices() -> None:
    text = SMALL.replace("    all: true\n", "    tags: [lab]\n    matchLabels: {a: b}\n")
    assert "do not mix" in message(text)


def test_a_rolling_update_has_a_quarter_of_the_devices_at_work() -> None:
    manifest = parse_manifest(SMALL)
    assert [p.percent for p in manifest.plan.phases] == [100]
    assert manifest.plan_for(200, "UTC").phases[0].maximum_in_flight == 50


def test_windows_can_be_in_the_organizations_time() -> None:
    lines = (
        "      scheduling:\n        window: {start: 22:00, end: 04:00, timezone: organization}\n"
    )
    manifest = parse_manifest(SMALL + lines)
    assert manifest.plan_for(1, "Asia/Tokyo").schedule.time_zone == "Asia/Tokyo"
    assert manifest.plan.schedule.windows[0].start_minute == 22 * 60


def test_a_released_version_brings_its_own_hooks() -> None:
    text = SMALL + "      hooks: {preUpdate: [{command: [ls]}]}\n"
    assert problems(text) == [(11, 7, "spec.template.spec.hooks")]


@pytest.mark.parametrize(
    ("check", "found"),
    [
        ("disk >= 16GB", 'disk >= "16GB"'),
        ("cpu_ratio < 0.5 && model == 'x'", 'metrics.cpu_ratio < "0.5" AND model = "x"'),
        ('model = "a*" OR tags:x', 'model = "a*" OR tags:x'),
    ],
)
def test_checks_are_filters_in_other_words(check: str, found: str) -> None:
    assert filter_of_check(check) == found


def test_fields_of_selectors_and_checks_are_fields_of_devices() -> None:
    for name in (*FIELDS.values(), *NAMES.values()):
        assert DEVICE_FIELDS.find(name) is not None, name


def test_every_key_says_what_it_becomes_or_why_it_is_refused() -> None:
    parts = {key.path for key in KEYS if key.path.endswith(("[]", ".*"))}
    around = {path.rpartition(".")[0] for path in (key.path for key in KEYS)}
    for key in KEYS:
        assert key.meaning or key.refused or key.path in parts | around, key.path
        assert not (key.meaning and key.refused), key.path


def test_a_release_in_one_word_is_refused_once_with_the_keys_that_belong_there() -> None:
    text = SMALL.replace("{name: app, version: 1.10}", "app@1.10")
    assert [path for _, _, path in problems(text)] == ["spec.template.spec.release"]
    assert "Its keys: name, version, channel." in message(text)
