"""Every key that a manifest may have: one table, which the reader, its errors and the reference
page are made from.

A key has a kind and says what it becomes in the engine; or it says why there is no such thing here
and what to do instead. `[]` is every item of a list, `*` every name of a map.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from apps.updates.domain.gates import Comparison, GateKind, Metric, OnExhausted
from apps.updates.domain.installation import MAX_ATTEMPTS, TIMED_STEPS, Mode, Reboot
from apps.updates.domain.manifest import kinds
from apps.updates.domain.manifest.kinds import (
    DAY,
    DECIMAL,
    DIGEST,
    DURATION,
    FILE_MODE,
    LIST,
    MAP,
    MOMENT,
    NOTHING,
    OBJECT,
    PRIORITY,
    SHARE,
    SIZE,
    SWITCH,
    TIME_OF_DAY,
    ZONE,
    Kind,
)
from apps.updates.domain.notifications import Occasion

API_VERSION, KIND = "fleet/v1", "Deployment"
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
STRATEGIES = ("RollingUpdate", "Canary")
OCCASIONS = tuple(occasion.value for occasion in Occasion)
# What other programs call an occasion.
EVENTS = {
    "deployment_started": Occasion.STARTED.value,
    "deployment_completed": Occasion.COMPLETED.value,
    "deployment_failed": Occasion.HALTED.value,
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its path, what stands there and what it becomes, or why it is `refused`."""

    path: str
    kind: Kind = NOTHING
    meaning: str = ""
    refused: str = ""
    is_needed: bool = False


@dataclass(slots=True)
class Branch:
    """A key with those inside it, by name."""

    key: Key
    inner: dict[str, "Branch"] = field(default_factory=dict)


def _word(kind: type, *, default: str = "") -> Kind:
    return kinds.word([each.value for each in kind])  # type: ignore[attr-defined]


_TEXT = kinds.text(1000)
_NAME = kinds.text(100)
_PROGRAM = (
    "A device runs one command without a shell; several hooks run one after the other by "
    "`/bin/sh -e`, and get the sum of their times."
)


def _hooks(path: str, meaning: str) -> Iterator[Key]:
    yield Key(path, LIST, meaning)
    yield Key(f"{path}[]", OBJECT)
    yield Key(f"{path}[].name", _NAME, "what it is for; kept in the release's notes")
    yield Key(f"{path}[].command", LIST, "the program and its arguments", is_needed=True)
    yield Key(f"{path}[].command[]", kinds.text(1024, least=0))
    yield Key(f"{path}[].timeout", DURATION, "how long it may run; 60s if not said")
    yield Key(
        f"{path}[].critical",
        kinds.only("true", "a hook that fails ends the update here, and the device goes back."),
        "a hook that fails always ends the update, and the device goes back",
    )


def _gate(path: str, meaning: str) -> Iterator[Key]:
    yield Key(path, OBJECT, meaning)
    yield Key(f"{path}.kind", _word(GateKind), "`strict`: no failure; `sequential`: Wald's test")
    yield Key(f"{path}.acceptableRate", DECIMAL, "failure rate that is accepted")
    yield Key(f"{path}.unacceptableRate", DECIMAL, "failure rate that is not")
    yield Key(f"{path}.alpha", DECIMAL, "chance to halt a release whose rate is acceptable")
    yield Key(f"{path}.beta", DECIMAL, "chance to promote one whose rate is not")
    yield Key(f"{path}.minimumDevices", kinds.whole(0, 10_000_000), "outcomes it waits for")
    yield Key(f"{path}.onExhausted", _word(OnExhausted), "where devices run out undecided")
    yield Key(f"{path}.control", SWITCH, "whether to compare with devices left out")
    yield from _conditions(f"{path}.conditions", "what devices report that must not become worse")


def _conditions(path: str, meaning: str) -> Iterator[Key]:
    yield Key(path, LIST, meaning)
    yield Key(f"{path}[]", OBJECT)
    yield Key(f"{path}[].metric", _word(Metric), "what is looked at", is_needed=True)
    yield Key(f"{path}[].limit", DECIMAL, "from where on a device is bad", is_needed=True)
    yield Key(f"{path}[].comparison", _word(Comparison), "`above` the limit, or `risen_by` it")
    yield Key(f"{path}[].acceptableRate", DECIMAL, "share of bad devices that is accepted")
    yield Key(f"{path}[].unacceptableRate", DECIMAL, "share of bad devices that is not")


def _selection(path: str, meaning: str) -> Iterator[Key]:
    yield Key(path, OBJECT, meaning)
    yield Key(f"{path}.matchLabels", MAP, "labels that all have to be so; becomes a filter")
    yield Key(f"{path}.matchLabels.*", kinds.text(1000))
    yield Key(f"{path}.matchExpressions", LIST, "further demands, all of them; become a filter")
    yield Key(f"{path}.matchExpressions[]", OBJECT)
    yield Key(
        f"{path}.matchExpressions[].key",
        kinds.text(200),
        "a label, or a field by the names below",
        is_needed=True,
    )
    yield Key(f"{path}.matchExpressions[].operator", kinds.word(OPERATORS), "how", is_needed=True)
    yield Key(f"{path}.matchExpressions[].values", LIST, "for `In` and `NotIn`")
    yield Key(f"{path}.matchExpressions[].values[]", kinds.text(1000))
    yield Key(f"{path}.filter", kinds.text(4096), "instead: a [filter](filters.md)")
    yield Key(f"{path}.tags", LIST, "or devices with one of these tags")
    yield Key(f"{path}.tags[]", _NAME)
    yield Key(f"{path}.groups", LIST, "or devices of these groups, by name or id")
    yield Key(f"{path}.groups[]", kinds.text(200))
    yield Key(f"{path}.deviceIds", LIST, "or these devices")
    yield Key(f"{path}.deviceIds[]", kinds.text(36))
    yield Key(f"{path}.failedIn", kinds.text(36), "of all these, what failed in this rollout")
    yield Key(f"{path}.failedBecause", kinds.text(64), "of those, what gave this reason")


def _metadata() -> Iterator[Key]:
    yield Key("apiVersion", kinds.word([API_VERSION]), "version of this language", is_needed=True)
    yield Key("kind", kinds.word([KIND]), "what the manifest describes", is_needed=True)
    yield Key("metadata", OBJECT, is_needed=True)
    yield Key("metadata.name", kinds.text(200), "the rollout's name", is_needed=True)
    yield Key("metadata.labels", MAP, "kept with the rollout, at most 64")
    yield Key("metadata.labels.*", kinds.text(1000, least=0))
    yield Key("metadata.annotations", MAP, "kept with the rollout, at most 64")
    yield Key("metadata.annotations.*", kinds.text(4000, least=0))
    yield Key(
        "metadata.namespace",
        refused="The organization is that of whoever sends the manifest: take it away.",
    )


def _target() -> Iterator[Key]:
    yield Key("spec", OBJECT, is_needed=True)
    yield from _selection("spec.selector", "the target: which devices, of those that are active")
    yield Key(
        "spec.selector.all",
        kinds.only("true", "leave it out, or select devices."),
        "every active device; nothing else selects them all",
    )
    yield Key(
        "spec.selector.percent",
        kinds.whole(1, 100),
        "of all these that can get the release, so many percent, rounded up: the first ones in the "
        "rollout's order",
    )
    yield Key("spec.selector.maximum", kinds.whole(1, 10_000_000), "and at most so many of them")
    yield from _selection("spec.exclude", "devices that are left out")


def _strategy() -> Iterator[Key]:
    base = "spec.strategy"
    yield Key(base, OBJECT, "how the rollout goes on; RollingUpdate if not said")
    yield Key(f"{base}.type", kinds.word(STRATEGIES), "one phase, or phases", is_needed=True)
    yield Key(f"{base}.rollingUpdate", OBJECT, "one phase of all devices")
    yield Key(
        f"{base}.rollingUpdate.maxUnavailable",
        SHARE,
        "as `spec.rollout.maxUnavailable`; 25% if neither says anything",
    )
    for name in ("rollingUpdate.maxSurge", "rollingUpdate.waitTime", "rollingUpdate.healthTimeout"):
        yield Key(f"{base}.{name}", refused=_INSTEAD[name])
    yield Key(
        f"{base}.blueGreen",
        refused="Stage with a rollout of `mode: download_only`, then activate with one of steps: "
        "Canary.",
    )
    yield Key(f"{base}.canary", OBJECT, "phases")
    yield from _steps(f"{base}.canary.steps")
    yield from _analysis(f"{base}.canary.analysis")


def _steps(path: str) -> Iterator[Key]:
    step = f"{path}[]"
    yield Key(path, LIST, "the phases, at most 20; the last one has weight 100", is_needed=True)
    yield Key(step, OBJECT)
    yield Key(f"{step}.weight", kinds.whole(1, 100), "cumulative percentage it ends at")
    yield Key(f"{step}.devices", kinds.whole(1, 10_000_000), "or cumulative number of devices")
    yield Key(f"{step}.filter", kinds.text(4096), "or the targets that match this filter")
    yield Key(f"{step}.name", _NAME, "the phase's name")
    yield Key(f"{step}.duration", DURATION, "minimum soak of the gate after it")
    yield Key(f"{step}.pauseAfter", SWITCH, "the next phase opens when a person approves")
    yield Key(f"{step}.maxInFlight", kinds.whole(0, 10_000_000), "devices at work at a time")
    yield Key(f"{step}.rate", OBJECT, "how many devices may start per minute")
    yield Key(f"{step}.rate.perMinute", kinds.whole(1, 1_000_000), "at first", is_needed=True)
    yield Key(f"{step}.rate.growthPercent", kinds.whole(100, 1000), "of the minute before")
    yield Key(f"{step}.rate.maximumPerMinute", kinds.whole(0, 1_000_000), "0 for no end")
    yield from _gate(f"{step}.gate", "the phase's gate, instead of the analysis")


def _analysis(path: str) -> Iterator[Key]:
    yield Key(path, OBJECT, "the gate of every step that has none of its own")
    yield Key(
        f"{path}.threshold",
        DECIMAL,
        "share of devices that have to succeed; a sequential gate: one minus this is the failure "
        "rate that is not acceptable, half of that is",
    )
    yield from _conditions(f"{path}.conditions", "what devices report that must not become worse")
    yield Key(f"{path}.metrics", LIST, "`error-rate`: updates that fail, by `threshold`")
    yield Key(f"{path}.metrics[]", kinds.text(200))
    yield Key(
        f"{path}.interval",
        refused="Gates look at every report of a device, not now and then: take it away.",
    )
    yield Key(
        f"{path}.queries",
        refused="Prometheus is not asked. Say the limit in `analysis.conditions` for what devices "
        "report, or look yourself: `pauseAfter: true` waits for a person.",
    )


def _rollout() -> Iterator[Key]:
    base = "spec.rollout"
    yield Key(base, OBJECT)
    yield Key(
        f"{base}.maxUnavailable",
        SHARE,
        "devices at work at a time, in each phase that says none of its own; a percentage is of "
        "the devices that the target means when the manifest is read, rounded down, 1 at least",
    )
    yield Key(f"{base}.maxSurge", refused=_INSTEAD["rollingUpdate.maxSurge"])
    yield Key(
        f"{base}.dynamic",
        SWITCH,
        "devices that match later join while it runs, until it is closed or ends",
    )
    yield Key(
        f"{base}.supersedes",
        SWITCH,
        "devices that wait in older rollouts of the same release name leave those when it is their "
        "turn in this one",
    )
    yield Key(f"{base}.siteLimit", OBJECT, "what each site of devices bears")
    yield Key(
        f"{base}.siteLimit.by",
        kinds.text(120),
        "the label that tells sites apart; `labels.site` if not said. Devices without it are one",
    )
    yield Key(
        f"{base}.siteLimit.inFlight",
        kinds.whole(1, 10_000_000),
        "devices of a site at work at a time; 1 if not said",
    )
    yield Key(
        f"{base}.siteLimit.network",
        SIZE,
        "bytes per second that these have together; each device is told its share",
    )
    yield Key(
        f"{base}.progressTimeout", DURATION, "longest time that one device may take; 1h if not said"
    )


def _release() -> Iterator[Key]:
    base = "spec.template"
    yield Key(base, OBJECT, is_needed=True)
    yield Key(
        f"{base}.metadata",
        refused="Releases have no labels: put them under `metadata` of the manifest.",
    )
    base = f"{base}.spec"
    yield Key(base, OBJECT, is_needed=True)
    yield Key(f"{base}.release", OBJECT, "a release that is there, or the one to be made")
    yield Key(
        f"{base}.release.name",
        kinds.text(100),
        "its name; with artifacts that of the first one, if not said",
    )
    yield Key(f"{base}.release.version", kinds.text(64), "its version, where no artifacts say it")
    yield Key(
        f"{base}.release.channel",
        kinds.text(32),
        "instead of the version: the release that the channel points at when the manifest is sent",
    )
    yield Key(
        f"{base}.bundle",
        kinds.word(["atomic", "sequential"]),
        "whether the artifacts go back together; atomic if not said",
    )
    yield from _artifacts(f"{base}.artifacts")
    yield Key(f"{base}.hooks", OBJECT, f"commands on the device. {_PROGRAM}")
    yield from _hooks(f"{base}.hooks.preUpdate", "before anything is switched")
    yield from _hooks(f"{base}.hooks.postUpdate", "when everything is in place, before a restart")
    yield from _hooks(f"{base}.hooks.rollback", "while the device goes back")
    yield from _checks(f"{base}.healthCheck")
    yield from _requirements(f"{base}.validation")
    yield from _template_rest(base)


def _artifacts(path: str) -> Iterator[Key]:
    each = f"{path}[]"
    yield Key(path, LIST, "the release's components, of files that are uploaded already")
    yield Key(each, OBJECT)
    yield Key(f"{each}.name", _NAME, "the component's name", is_needed=True)
    yield Key(
        f"{each}.version",
        kinds.text(64),
        "the release's version: the same for all",
        is_needed=True,
    )
    yield Key(
        f"{each}.type",
        kinds.word(["firmware", "package", "container", "binary", "script", "config"]),
        "the component's kind",
        is_needed=True,
    )
    yield Key(f"{each}.checksum", DIGEST, "which uploaded file it is", is_needed=True)
    yield Key(f"{each}.size", SIZE, "compared with the uploaded file's")
    yield Key(
        f"{each}.target",
        kinds.text(512),
        "path of a binary or config file, slot of firmware, name of a container or package",
    )
    yield Key(f"{each}.mode", FILE_MODE, "the file's mode")
    yield Key(
        f"{each}.backup",
        kinds.only("true", "the version before is always kept, for going back."),
        "the version before is always kept, for going back",
    )
    yield Key(f"{each}.env", MAP, "variables of a container")
    yield Key(f"{each}.env.*", kinds.text(1024, least=0))
    yield Key(f"{each}.options", MAP, "the kind's install options, as in the API")
    yield Key(f"{each}.options.*", kinds.text(4000))
    yield Key(
        f"{each}.url",
        refused="The platform fetches nothing from addresses that people name. Upload the file "
        "(`fleetctl artifacts upload FILE`), keep its checksum here, and take the address away.",
    )
    yield Key(
        f"{each}.signature",
        refused="Releases are signed as a whole: `fleetctl sign release`. Take it away.",
    )


def _checks(path: str) -> Iterator[Key]:
    yield Key(path, OBJECT, "how the device finds out that the new version works")
    yield Key(f"{path}.httpGet", OBJECT, "GET, from the device")
    yield Key(f"{path}.httpGet.path", kinds.text(900), "path of the address", is_needed=True)
    yield Key(f"{path}.httpGet.port", kinds.whole(1, 65_535), "port", is_needed=True)
    yield Key(f"{path}.httpGet.host", kinds.text(253), "127.0.0.1 if not said")
    yield Key(f"{path}.httpGet.scheme", kinds.word(["HTTP", "HTTPS"]), "HTTP if not said")
    yield Key(
        f"{path}.httpGet.headers",
        refused="Health checks send no headers of their own: take them away, or check with `exec`.",
    )
    yield Key(f"{path}.exec", OBJECT, "a command that has to exit with 0")
    yield Key(f"{path}.exec.command", LIST, "the program and its arguments", is_needed=True)
    yield Key(f"{path}.exec.command[]", kinds.text(1024, least=0))
    yield Key(f"{path}.tcpSocket", OBJECT, "a port that has to accept connections")
    yield Key(f"{path}.tcpSocket.port", kinds.whole(1, 65_535), "port", is_needed=True)
    yield Key(f"{path}.tcpSocket.host", kinds.text(253), "127.0.0.1 if not said")
    yield Key(f"{path}.initialDelaySeconds", kinds.whole(0, 3600), "wait before the first try")
    yield Key(f"{path}.periodSeconds", kinds.whole(1, 3600), "between tries; 5 if not said")
    yield Key(f"{path}.timeoutSeconds", kinds.whole(1, 3600), "for one try; 10 if not said")
    yield Key(f"{path}.successThreshold", kinds.whole(1, 100), "tries in a row that must pass")
    yield Key(f"{path}.failureThreshold", kinds.whole(0, 1000), "failures in a row that fail it")
    yield Key(
        f"{path}.deadlineSeconds",
        kinds.whole(1, 86_400),
        "for all tries; if not said, 300 or as long as the other numbers can take",
    )


def _requirements(path: str) -> Iterator[Key]:
    yield Key(path, OBJECT)
    yield Key(
        f"{path}.requirements",
        LIST,
        "onto which devices the release fits, by what they reported last; become one filter",
    )
    yield Key(f"{path}.requirements[]", OBJECT)
    yield Key(f"{path}.requirements[].name", _NAME, "kept in the release's notes")
    yield Key(
        f"{path}.requirements[].check",
        kinds.text(1000),
        "comparisons with fields of devices, joined by `&&`, or a filter",
        is_needed=True,
    )
    yield Key(f"{path}.requirements[].message", _TEXT, "kept in the release's notes")


def _template_rest(base: str) -> Iterator[Key]:
    yield Key(f"{base}.rollback", OBJECT)
    yield Key(
        f"{base}.rollback.enabled",
        kinds.only("true", "a device always goes back when its update fails."),
        "a device always goes back when its update fails",
    )
    for name in ("triggers", "strategy", "preserveData"):
        yield Key(f"{base}.rollback.{name}", refused=_INSTEAD[f"rollback.{name}"])
    yield Key(f"{base}.resources", OBJECT)
    yield Key(f"{base}.resources.limits", OBJECT)
    yield Key(f"{base}.resources.limits.network", SIZE, "bytes per second, of each device")
    for name in ("cpu", "memory"):
        yield Key(f"{base}.resources.limits.{name}", refused=_INSTEAD["limits"])
    yield Key(f"{base}.resources.requests", refused=_INSTEAD["limits"])
    yield from _scheduling(f"{base}.scheduling")
    for name in ("config", "preDeploy", "postDeploy"):
        yield Key(f"{base}.{name}", refused=_INSTEAD[name])


def _scheduling(path: str) -> Iterator[Key]:
    yield Key(path, OBJECT, "when devices may begin")
    yield from _window(f"{path}.window", "the time of the day")
    yield Key(f"{path}.windows", LIST, "several of them, at most 21")
    yield from _window(f"{path}.windows[]", "")
    yield Key(
        f"{path}.timezone",
        ZONE,
        "of windows and blackout dates; `device_local` if not said: the device's own, and the "
        "organization's where a device tells none. `organization` is the organization's for all",
    )
    yield Key(f"{path}.window.timezone", ZONE, "the same")
    yield Key(f"{path}.blackoutDates", LIST, "days on which nothing begins")
    yield Key(f"{path}.blackoutDates[]", DAY)
    yield Key(f"{path}.startAt", MOMENT, "when a submitted rollout starts by itself")
    yield Key(f"{path}.endAt", MOMENT, "when a rollout with devices to go is halted")
    yield Key(f"{path}.priority", PRIORITY, "-50, 0, 50, 100: which rollout a device takes first")
    yield Key(
        f"{path}.deviceGroups",
        refused="One rollout has one schedule: make a rollout for each group, with its own "
        "`selector.groups`, windows and approval.",
    )


def _window(path: str, meaning: str) -> Iterator[Key]:
    yield Key(path, OBJECT, meaning)
    yield Key(f"{path}.start", TIME_OF_DAY, "when it opens", is_needed=True)
    yield Key(f"{path}.end", TIME_OF_DAY, "when it closes; before the start: next day",
              is_needed=True)  # fmt: skip
    yield Key(f"{path}.weekdays", LIST, "1 (Monday) to 7; every day if not said")
    yield Key(f"{path}.weekdays[]", kinds.whole(1, 7))


def _installation() -> Iterator[Key]:
    base = "spec.installation"
    yield Key(base, OBJECT, "how devices install")
    yield Key(f"{base}.mode", _word(Mode), "who decides when; `forced` if not said")
    yield Key(f"{base}.reboot", _word(Reboot), "when devices restart; `when_needed` if not said")
    yield Key(f"{base}.maximumAttempts", kinds.whole(1, MAX_ATTEMPTS), "1 if not said")
    yield Key(f"{base}.backoff", DURATION, "before the second attempt, doubled for further ones")
    yield Key(f"{base}.stepTimeouts", OBJECT, "of single steps")
    for step in TIMED_STEPS:
        yield Key(f"{base}.stepTimeouts.{step}", DURATION, f"longest time of {step}")
    yield Key(f"{base}.allowDowngrade", SWITCH, "to older versions; needs a right of its own")


def _notifications() -> Iterator[Key]:
    base = "spec.notifications"
    yield Key(base, OBJECT)
    yield Key(f"{base}.email", OBJECT, "who is told what happens; needs a mail server")
    yield Key(f"{base}.email.recipients", LIST, "addresses, at most 20", is_needed=True)
    yield Key(f"{base}.email.recipients[]", kinds.text(254))
    yield Key(f"{base}.email.events", LIST, "of what; of everything if not said")
    yield Key(f"{base}.email.events[]", kinds.word([*OCCASIONS, *EVENTS]))
    yield Key(
        f"{base}.email.failuresAbove",
        kinds.whole(0, 10_000_000),
        "`devices_failed` is told when more devices than this have failed",
    )


def _around() -> Iterator[Key]:
    base = "spec.compliance"
    yield Key(base, OBJECT)
    yield Key(f"{base}.approvals", OBJECT)
    yield Key(f"{base}.approvals.required", SWITCH, "another person has to approve the plan")
    yield Key(f"{base}.audit", OBJECT)
    yield Key(
        f"{base}.audit.enabled",
        kinds.only("true", "everything is in the audit trail."),
        "everything is in the audit trail",
    )
    yield Key(
        f"{base}.audit.includePayload",
        kinds.only("false", "the audit trail holds no files."),
        "the audit trail holds no files",
    )
    for name, why in _REFUSED.items():
        yield Key(name, refused=why)


_INSTEAD = {
    "rollingUpdate.maxSurge": "Devices are updated where they stand, there are no spare ones: "
    "take it away. `maxUnavailable` says how many are at work at a time.",
    "rollingUpdate.waitTime": "Use Canary with `duration` for the time between steps.",
    "rollingUpdate.healthTimeout": "Use `healthCheck.deadlineSeconds`.",
    "rollback.triggers": "Gates halt a rollout by failures (`canary.analysis.threshold`) or by "
    "what devices report (`canary.analysis.conditions`); a person then decides to go back "
    "(`fleetctl rollouts roll-back`). Take the triggers away.",
    "rollback.strategy": "A roll back has phases of its own, chosen when somebody starts it: "
    "take it away.",
    "rollback.preserveData": "What an update keeps is up to its hooks: take it away.",
    "limits": "The agent does not limit processors or memory: take it away, or limit them in the "
    "unit of the service that is updated.",
    "config": "Upload the configuration as a file and name it as an artifact of type config.",
    "preDeploy": "Write it as `hooks.preUpdate`.",
    "postDeploy": "Write it as `hooks.postUpdate`.",
}
_NO_CHANNEL = (
    "Rollouts tell people by e-mail only: take it away, and name an address that the service "
    "reads under `notifications.email.recipients`."
)
_REFUSED = {
    "spec.compliance.standards": "Naming a standard changes nothing here: take it away, or keep "
    "it under `metadata.labels`.",
    "spec.compliance.approvals.approvers": "Anybody with the right to approve rollouts may, "
    "except who planned it; give that right to the role instead, and take this away.",
    "spec.compliance.audit.retention": "How long the audit trail is kept is the platform's to "
    "say: take it away.",
    "spec.notifications.slack": _NO_CHANNEL,
    "spec.notifications.pagerduty": _NO_CHANNEL,
    "spec.notifications.webhook": _NO_CHANNEL,
    "spec.monitoring": "Dashboards and alerts live where the metrics do: take it away. Limits "
    "that stop a rollout are `canary.analysis`.",
    "spec.costOptimization": "There is nothing like it: take it away. `resources.limits.network` "
    "and the window say when and how fast devices download.",
    "spec.testing": "Make the first steps of `canary` small, with `duration`; tests after the "
    "update are `healthCheck`. Take it away.",
    "status": "What became of a rollout is not planned: take it away.",
}

KEYS: tuple[Key, ...] = (
    *_metadata(),
    *_target(),
    *_strategy(),
    *_rollout(),
    *_release(),
    *_installation(),
    *_notifications(),
    *_around(),
)


def tree(keys: tuple[Key, ...] = KEYS) -> Branch:
    """The table as a tree, by name."""
    root = Branch(Key("", OBJECT))
    for key in keys:
        at = root
        names = key.path.replace("[]", ".[]").split(".")
        for name in names[:-1]:
            at = at.inner[name]
        at.inner[names[-1]] = Branch(key)
    return root


TREE = tree()


def known_names(branch: Branch) -> Mapping[str, Branch]:
    """The names that may stand in an object."""
    return {name: inner for name, inner in branch.inner.items() if name not in ("[]", "*")}
