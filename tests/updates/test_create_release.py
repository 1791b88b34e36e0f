"""Making releases."""

import io
from uuid import uuid4

import pytest

from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.updates.errors import ReleaseVersionTaken
from apps.updates.models import Artifact, Release
from apps.updates.selectors.releases import get_release
from apps.updates.services.artifacts import store_artifact
from apps.updates.services.releases import create_release
from apps.updates.types import Compatibility, NewComponent
from tests.factories import Cast


@pytest.fixture
def artifact(alice: Actor, in_acme: None) -> Artifact:
    return store_artifact(alice, name="app", file=io.BytesIO(b"app"))


def test_a_release_keeps_its_components_in_order(alice: Actor, artifact: Artifact) -> None:
    parts = [
        NewComponent(
            "app",
            "binary",
            artifact.id,
            target="/usr/local/bin/app",
            file_mode=0o755,
            hooks={"verify": {"command": ["/usr/local/bin/app", "--check"]}, "after": None},
        ),
        NewComponent("settings", "config", artifact.id, target="/etc/app.conf"),
        NewComponent("system", "firmware", artifact.id, target="rootfs"),
    ]
    made = create_release(alice, name="App", version="1.2.3-rc.1", components=parts)
    release = get_release(alice, made.id)
    assert [c.name for c in release.components.all()] == ["app", "settings", "system"]
    hooks = release.components.all()[0].hooks
    assert hooks == {
        "verify": {"command": ["/usr/local/bin/app", "--check"], "timeout_seconds": 60}
    }
    entry = AuditEntry.objects.for_org(alice.organization_id).latest("sequence")
    assert entry.action == "updates.create_release"


def test_a_version_is_made_once(alice: Actor, artifact: Artifact) -> None:
    parts = [NewComponent("run", "script", artifact.id)]
    create_release(alice, name="App", version="1", components=parts)
    with pytest.raises(ReleaseVersionTaken):
        create_release(alice, name="App", version="1", components=parts)
    assert Release.objects.for_org(alice.organization_id).count() == 1


@pytest.mark.parametrize(
    ("field", "code", "change"),
    [
        ("components.0.kind", "unknown_kind", {"kind": "plugin"}),
        ("components.0.target", "invalid_target", {"kind": "container", "target": "a b"}),
        ("components.0.target", "invalid_target", {"kind": "package", "target": "/usr"}),
        (
            "components.0.install_options.nice",
            "unknown_option",
            {"install_options": {"nice": "19"}},
        ),
        (
            "components.0.install_options.timeout_seconds",
            "invalid_option",
            {"install_options": {"timeout_seconds": "0"}},
        ),
        (
            "components.0.install_options.interpreter",
            "invalid_option",
            {"install_options": {"interpreter": "/bin/sh\n-x"}},
        ),
        ("components.0.checks.0", "invalid_check", {"checks": [{"name": "up"}]}),
        (
            "components.0.checks.0",
            "invalid_check",
            {"checks": [{"heartbeat": {}, "tcp": {"port": 1}}]},
        ),
        (
            "components.0.checks.0.http.url",
            "invalid_url",
            {"checks": [{"http": {"url": "file:///etc/passwd"}}]},
        ),
        ("components.0.checks.0.tcp.port", "invalid_port", {"checks": [{"tcp": {"port": 0}}]}),
        (
            "components.0.checks.0.timeout_seconds",
            "invalid_timeout",
            {"checks": [{"heartbeat": {}, "timeout_seconds": 400}]},
        ),
        ("components.0.name", "invalid_name", {"name": "../x"}),
        ("components.0.name", "invalid_name", {"name": "a\0b"}),
        ("components.0.target", "invalid_target", {"kind": "binary", "target": ""}),
        ("components.0.target", "invalid_target", {"kind": "binary", "target": "bin/app"}),
        ("components.0.target", "invalid_target", {"kind": "config", "target": "/etc/../x"}),
        ("components.0.target", "invalid_target", {"kind": "config", "target": "/etc/a\0b"}),
        ("components.0.target", "invalid_target", {"kind": "firmware", "target": "/dev/sda"}),
        ("components.0.file_mode", "invalid_file_mode", {"file_mode": 0o10000}),
        ("components.0.hooks", "unknown_hook", {"hooks": {"during": {"command": ["x"]}}}),
        ("components.0.hooks.after", "invalid_hook", {"hooks": {"after": "rm -rf /"}}),
        ("components.0.hooks.after", "invalid_command", {"hooks": {"after": {"command": []}}}),
        ("components.0.hooks.after", "invalid_command", {"hooks": {"after": {"command": ["\0"]}}}),
        (
            "components.0.hooks.after",
            "invalid_timeout",
            {"hooks": {"after": {"command": ["x"], "timeout_seconds": 10**9}}},
        ),
    ],
)
def test_what_no_device_could_install_is_refused(
    alice: Actor, artifact: Artifact, field: str, code: str, change: dict
) -> None:
    values = {"name": "run", "kind": "script", "artifact_id": artifact.id, **change}
    with pytest.raises(InvalidRequest) as refused:
        create_release(alice, name="App", version="1", components=[NewComponent(**values)])
    assert (refused.value.fields[0].field, refused.value.fields[0].code) == (field, code)
    assert not Release.objects.for_org(alice.organization_id).exists()


@pytest.mark.parametrize("version", ["", "1 2", "v\0", "x" * 65, "../1"])
def test_odd_versions_are_refused(alice: Actor, artifact: Artifact, version: str) -> None:
    with pytest.raises(InvalidRequest):
        create_release(
            alice,
            name="App",
            version=version,
            components=[NewComponent("run", "script", artifact.id)],
        )


def test_two_components_cannot_have_one_name(alice: Actor, artifact: Artifact) -> None:
    part = NewComponent("run", "script", artifact.id)
    with pytest.raises(InvalidRequest):
        create_release(alice, name="App", version="1", components=[part, part])


def test_a_release_needs_components(alice: Actor, in_acme: None) -> None:
    with pytest.raises(InvalidRequest):
        create_release(alice, name="App", version="1", components=[])


def test_an_artifact_of_another_organization_is_unknown(
    charlie: Actor, artifact: Artifact, globex: Cast, acme: Cast
) -> None:
    part = NewComponent("run", "script", artifact.id)
    with pytest.raises(InvalidRequest) as refused:
        create_release(charlie, name="App", version="1", components=[part])
    assert refused.value.fields[0].code == "unknown_artifact"


def test_an_operator_cannot_make_releases(erin: Actor, in_acme: None) -> None:
    with pytest.raises(PermissionDenied):
        create_release(
            erin, name="App", version="1", components=[NewComponent("run", "script", uuid4())]
        )


def test_a_missing_release_and_a_foreign_one_are_not_found(
    alice: Actor, charlie: Actor, release: Release
) -> None:
    for actor, wanted in ((alice, uuid4()), (charlie, release.id)):
        with pytest.raises(NotFound):
            get_release(actor, wanted)


def test_a_bundle_keeps_its_mode_options_and_checks(alice: Actor, artifact: Artifact) -> None:
    web = NewComponent(
        "web",
        "container",
        artifact.id,
        target="web",
        install_options={"ports": "8080:80\n8443:443/tcp", "restart": "always"},
        checks=[{"name": "answers", "http": {"url": "http://127.0.0.1:8080/healthz"}}],
    )
    library = NewComponent("library", "package", artifact.id, install_options={"manager": "apt"})
    made = create_release(
        alice, name="App", version="2", components=[library, web], bundle_mode="sequential"
    )
    release = get_release(alice, made.id)
    container = release.components.all()[1]
    assert release.bundle_mode == "sequential"
    assert container.install_options == {"ports": "8080:80\n8443:443/tcp", "restart": "always"}
    assert container.checks == [
        {
            "name": "answers",
            "http": {"url": "http://127.0.0.1:8080/healthz", "statuses": [], "contains": ""},
            "initial_delay_seconds": 0,
            "interval_seconds": 5,
            "timeout_seconds": 10,
            "success_threshold": 1,
            "failure_threshold": 0,
            "deadline_seconds": 300,
        }
    ]


def test_rules_about_installed_versions_are_kept_in_one_form(
    alice: Actor, artifact: Artifact
) -> None:
    fits = Compatibility(requires=[("base", ">= 1.2,<2")], conflicts=[("old", "*")])
    part = NewComponent("run", "script", artifact.id)
    release = create_release(alice, name="A", version="1", components=[part], compatibility=fits)
    assert release.requires == [{"component": "base", "versions": ">=1.2, <2"}]
    assert release.conflicts == [{"component": "old", "versions": "*"}]


@pytest.mark.parametrize(
    ("field", "code", "fits"),
    [
        (
            "requires.0.versions",
            "invalid_range",
            Compatibility(requires=[("a", ">newest version")]),
        ),
        ("requires.0.versions", "invalid_range", Compatibility(requires=[("a", ">=1,")])),
        ("requires.0.versions", "invalid_range", Compatibility(requires=[("a", "=1," * 9)])),
        ("conflicts.0.component", "invalid_name", Compatibility(conflicts=[("../a", "*")])),
        ("requires", "too_many_rules", Compatibility(requires=[("a", "*")] * 17)),
        (
            "conflicts.0",
            "contradiction",
            Compatibility(requires=[("a", ">=1")], conflicts=[("a", "*")]),
        ),
    ],
)
def test_rules_that_no_device_can_meet_are_refused(
    alice: Actor, artifact: Artifact, field: str, code: str, fits: Compatibility
) -> None:
    part = NewComponent("run", "script", artifact.id)
    with pytest.raises(InvalidRequest) as refused:
        create_release(alice, name="A", version="1", components=[part], compatibility=fits)
    assert (refused.value.fields[0].field, refused.value.fields[0].code) == (field, code)
    assert not Release.objects.for_org(alice.organization_id).exists()


def test_a_filter_of_devices_is_kept_in_its_canonical_form(
    alice: Actor, artifact: Artifact
) -> None:
    fits = Compatibility(compatible='architecture="aarch64"   AND memory>=1GiB')
    part = NewComponent("run", "script", artifact.id)
    release = create_release(alice, name="A", version="1", components=[part], compatibility=fits)
    assert release.compatible == 'architecture = "aarch64" AND memory >= 1GiB'


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('architectur = "arm"', "invalid_filter"),
        ("memory >=", "invalid_filter"),
        ('group = "canary"', "group_not_allowed"),
        ("(" * 100, "invalid_filter"),
        ('model = "' + "x" * 2000 + '"', "filter_too_long"),
    ],
)
def test_a_filter_that_cannot_be_kept_is_refused(
    alice: Actor, artifact: Artifact, text: str, code: str
) -> None:
    part = NewComponent("run", "script", artifact.id)
    with pytest.raises(InvalidRequest) as refused:
        create_release(
            alice,
            name="A",
            version="1",
            components=[part],
            compatibility=Compatibility(compatible=text),
        )
    assert (refused.value.fields[0].field, refused.value.fields[0].code) == ("compatible", code)
