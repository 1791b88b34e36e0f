"""The update state machine of a device.

It touches the world only through ports, and writes to the journal before each step, so that a kill
or a power cut at any instant leaves a deployment that goes on or is rolled back, and never one that
is applied twice:

- a stage that was begun and not finished is not repeated, except where its handler can tell how far
  it came (files and slots can, scripts and hooks cannot): then the deployment is rolled back;
- rolling back is repeatable, and is repeated until it is through;
- verification only looks, so it may run again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from fleetd_agent.files import as_step_failure
from fleetd_agent.journal import DOWNLOAD, INSTALL, ROLL_BACK, STAGES, VERIFY, Active, Journal
from fleetd_agent.messages import (
    LOG_TAIL_CHARACTERS,
    MESSAGE_CHARACTERS,
    TERMINAL_STEPS,
    Hook,
    LinkExpired,
    Offer,
    Outcome,
    Report,
    Step,
    StepFailed,
    clean_text,
)
from fleetd_agent.ports import Clock, Downloader, Handler, Runner, Undone, Work

logger = logging.getLogger(__name__)

DEFAULT_LEASE_SECONDS = 300
REPORTS_PER_LEASE = 3
LINK_RETRY_SECONDS = 60.0
BEFORE, APPLY, AFTER = STAGES


class Stopped(Exception):
    """The agent is shutting down; the journal says where to go on."""


class Engine:
    """Carries out one deployment at a time and remembers how each ended."""

    def __init__(
        self,
        *,
        journal: Journal,
        downloader: Downloader,
        handlers: Mapping[str, Handler],
        runner: Runner,
        clock: Clock,
        boot_id: str,
        on_report: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal = journal
        self._downloader = downloader
        self._handlers = handlers
        self._runner = runner
        self._clock = clock
        self._boot_id = boot_id
        self._on_report = on_report
        self._wake = asyncio.Event()
        self._fresh_links = asyncio.Event()
        self._next: Offer | None = None
        self._withdrawn: str = ""
        self._fetching: asyncio.Task[None] | None = None
        self._is_stopping = False
        self.state = journal.load()

    @property
    def kinds(self) -> list[str]:
        """The component kinds that this device can install."""
        return sorted(self._handlers)

    # What the platform says

    def offer(self, offer: Offer) -> None:
        """Takes an offer; one that is known already is answered from the journal."""
        active = self.state.active
        if finished := self.state.finished.get(offer.deployment_id):
            self._repeat(finished)
        elif active and active.offer.deployment_id == offer.deployment_id:
            self._refresh_links(active, offer)
            if active.last:
                self._repeat(active.last)
        else:
            # The platform offers one at a time; if it changed its mind, the newest word counts.
            self._next = offer
            self._wake.set()

    def cancel(self, deployment_id: str) -> None:
        """Stops a deployment that has not begun to install; later it is finished or rolled back."""
        if self._next and self._next.deployment_id == deployment_id:
            self._next = None
        active = self.state.active
        if active and active.offer.deployment_id == deployment_id and active.phase == DOWNLOAD:
            self._withdrawn = deployment_id
            if self._fetching:
                self._fetching.cancel()

    def acknowledge(self, deployment_id: str, sequence: int, *, is_terminal: bool = False) -> None:
        """Forgets reports that the platform has stored, and stops work that it has given up."""
        if self.state.acknowledge(deployment_id, sequence):
            self._save()
        if is_terminal:
            self.cancel(deployment_id)

    def adopt(self, device_id: str) -> None:
        """Says whose engine this is. What another identity left is ended, but told to nobody."""
        if self.state.owner == device_id:
            return
        if self.state.owner:
            self.state.outbox = []
            if self.state.active:
                self._disown(self.state.active)
        self.state.owner = device_id
        self._save()

    def forget(self, deployment_id: str) -> None:
        """The platform does not want reports of this deployment."""
        logger.warning("deployment is not ours any more", extra={"deployment": deployment_id})
        self.state.outbox = [r for r in self.state.outbox if r.deployment_id != deployment_id]
        active = self.state.active
        if active and active.offer.deployment_id == deployment_id:
            self._disown(active)
        self._save()

    def _disown(self, active: Active) -> None:
        active.is_disowned = True
        if active.phase == DOWNLOAD:
            self._withdrawn = active.offer.deployment_id
            if self._fetching:
                self._fetching.cancel()

    # Work

    async def run(self) -> None:
        """Works until stopped; first goes on with what the journal says is under way."""
        self._clean_up()
        while not self._is_stopping:
            if active := self.state.active:
                await self._work_with_lease(active)
            elif self._next:
                offer, self._next = self._next, None
                self._begin(offer)
            else:
                self._wake.clear()
                await self._wake.wait()

    def stop(self) -> None:
        """Asks `run` to return at the next boundary between steps."""
        self._is_stopping = True
        self._wake.set()
        if self._fetching:
            self._fetching.cancel()

    def _begin(self, offer: Offer) -> None:
        logger.info("deployment accepted", extra=_names(offer))
        active = Active(offer=offer, records=[None] * len(offer.components))
        try:
            self._check(offer)
        except StepFailed as failure:
            active.outcome = Outcome.of(failure)
            self._finish(active, Step.FAILED)
            return
        self.state.active = active
        self._report(active, Step.DOWNLOADING)

    def _check(self, offer: Offer) -> None:
        if not offer.components:
            raise StepFailed("offer_refused", "the release has no components")
        for component in offer.components:
            handler = self._handlers.get(component.kind)
            if handler is None:
                raise StepFailed(
                    "kind_not_supported", f"this device cannot install {component.kind!r}"
                )
            handler.check(component)

    async def _work_with_lease(self, active: Active) -> None:
        keeper = asyncio.create_task(self._keep_lease(active))
        try:
            await self._work(active)
        except Stopped:
            logger.info("deployment set aside until the next start", extra=_names(active.offer))
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper

    async def _work(self, active: Active) -> None:
        try:
            if active.phase == DOWNLOAD:
                await self._download(active)
            if active.phase == INSTALL:
                await self._install(active)
            if active.phase == VERIFY:
                await self._verify(active)
        except Stopped:
            raise
        except StepFailed as failure:
            self._turn_back(active, failure)
        except OSError as error:
            logger.exception("step failed", extra=_names(active.offer))
            self._turn_back(active, as_step_failure(error, f"in phase {active.phase}"))
        except Exception as error:  # whatever went wrong, the device goes back
            logger.exception("step failed", extra=_names(active.offer))
            self._turn_back(active, StepFailed("agent_error", f"{type(error).__name__}: {error}"))
        if active.phase == ROLL_BACK:
            await self._roll_back(active)
        else:
            self._finish(active, Step.SUCCEEDED)

    # Download

    async def _download(self, active: Active) -> None:
        deployment_id = active.offer.deployment_id
        self._fetching = asyncio.create_task(self._fetch_all(active))
        if self._withdrawn == deployment_id or self._is_stopping:
            self._fetching.cancel()
        try:
            await self._fetching
        except asyncio.CancelledError:
            if self._withdrawn == deployment_id:
                raise StepFailed("cancelled", "cancelled before installation") from None
            if self._is_stopping:
                raise Stopped from None
            self._fetching.cancel()
            raise
        finally:
            self._fetching = None
        active.phase, active.component, active.stage = INSTALL, 0, BEFORE
        active.is_begun = False
        self._report(active, Step.INSTALLING)

    async def _fetch_all(self, active: Active) -> None:
        for index in range(len(active.offer.components)):
            await self._fetch(active, index)
        self._report(active, Step.DOWNLOADED)

    async def _fetch(self, active: Active, index: int) -> None:
        count = len(active.offer.components)

        def progress(percent: int) -> None:
            self._report(active, Step.DOWNLOADING, (100 * index + percent) // count)

        while True:
            self._fresh_links.clear()
            try:
                await self._downloader.fetch(self._work_of(active, index), progress)
                return
            except LinkExpired:
                self._check_deadline(active)
                await self._wait_for_links(active)

    def _check_deadline(self, active: Active) -> None:
        deadline = active.offer.deadline_at()
        if deadline and self._clock.server_now() > deadline:
            raise StepFailed("deadline_passed", "the download link expired and no new one came")

    async def _wait_for_links(self, active: Active) -> None:
        logger.info("download link expired, waiting for a fresh one", extra=_names(active.offer))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._fresh_links.wait(), LINK_RETRY_SECONDS)

    def _refresh_links(self, active: Active, offer: Offer) -> None:
        # Only the links are taken: what is installed is what was offered first.
        known = {(c.name, c.sha256): c.url for c in offer.components}
        components = tuple(
            replace(c, url=known.get((c.name, c.sha256), c.url)) for c in active.offer.components
        )
        active.offer = replace(active.offer, components=components, deadline=offer.deadline)
        if active.phase == DOWNLOAD:
            self._save()
            self._fresh_links.set()

    # Installation

    async def _install(self, active: Active) -> None:
        while active.component < len(active.offer.components):
            await self._run_stage(active)
            self._next_stage(active)
            if self._is_stopping:
                self._save()
                raise Stopped
        active.phase = VERIFY
        self._report(active, Step.VERIFYING)

    async def _run_stage(self, active: Active) -> None:
        if active.is_begun:
            if self._is_settled_by_reboot(active):
                return
            self._refuse_repetition(active)
        elif not self._enter_stage(active):
            return
        work = self._work_of(active, active.component)
        component, record = work.component, active.records[active.component]
        if active.stage == APPLY:
            await self._handlers[component.kind].apply(work, record or {})
            active.is_touched = True
        elif active.stage == BEFORE and component.before:
            await self._run_hook(active, work, "before", component.before)
        elif active.stage == AFTER and component.after:
            await self._run_hook(active, work, "after", component.after)

    def _enter_stage(self, active: Active) -> bool:
        """Writes down that the stage begins; False when the component has nothing to do in it."""
        work = self._work_of(active, active.component)
        component = work.component
        if active.stage == APPLY:
            active.records[active.component] = self._handlers[component.kind].prepare(work)
        elif (component.before if active.stage == BEFORE else component.after) is None:
            return False
        active.is_begun, active.boot_id = True, self._boot_id
        self._save()
        return True

    def _next_stage(self, active: Active) -> None:
        position = STAGES.index(active.stage) + 1
        active.is_begun = False
        if position == len(STAGES):
            active.component += 1
            position = 0
        active.stage = STAGES[position]

    def _is_settled_by_reboot(self, active: Active) -> bool:
        """A reboot during the after hook of firmware is what that hook is for."""
        component = active.offer.components[active.component]
        is_rebooted = bool(active.boot_id) and active.boot_id != self._boot_id
        if active.stage == AFTER and component.kind == "firmware" and is_rebooted:
            self._report(active, Step.REBOOTING)
            return True
        return False

    def _refuse_repetition(self, active: Active) -> None:
        component = active.offer.components[active.component]
        self._runner.kill_leftovers(_run_id(active, active.stage))
        if active.stage != APPLY or not self._handlers[component.kind].is_resumable:
            what = component.kind if active.stage == APPLY else f"{active.stage} hook"
            raise StepFailed(
                "interrupted", f"the agent stopped while the {what} of {component.name} ran"
            )

    # Verification

    async def _verify(self, active: Active) -> None:
        for index, component in enumerate(active.offer.components):
            work = self._work_of(active, index)
            self._runner.kill_leftovers(f"{work.deployment_id}:{index}:verify")
            await self._handlers[component.kind].verify(work, active.records[index] or {})
            if component.verify:
                await self._run_hook(active, work, "verify", component.verify)
            if self._is_stopping:
                raise Stopped

    # Rolling back

    def _turn_back(self, active: Active, failure: StepFailed) -> None:
        logger.warning(
            "deployment failed, rolling back",
            extra={**_names(active.offer), "reason": failure.reason_code, "why": failure.message},
        )
        active.outcome = Outcome.of(failure)
        if active.phase == DOWNLOAD:
            active.component = -1
            self._downloader.discard()
        elif active.phase == VERIFY:
            active.component = len(active.offer.components) - 1
        elif not self._is_component_begun(active):
            active.component -= 1
        active.phase = ROLL_BACK
        self._save()

    def _is_component_begun(self, active: Active) -> bool:
        has_before = active.offer.components[active.component].before is not None
        return active.is_begun or active.stage == AFTER or (active.stage == APPLY and has_before)

    async def _roll_back(self, active: Active) -> None:
        while active.component >= 0:
            await self._undo(active)
            active.component -= 1
            self._save()
        is_undone = active.is_touched and not active.unrestored
        if active.unrestored and active.outcome:
            names = ", ".join(active.unrestored)
            message = f"{active.outcome.message}; could not be undone: {names}"
            active.outcome = replace(active.outcome, message=message)
        self._finish(active, Step.ROLLED_BACK if is_undone else Step.FAILED)

    async def _undo(self, active: Active) -> None:
        work = self._work_of(active, active.component)
        component, record = work.component, active.records[active.component]
        undone = Undone.NOTHING
        try:
            if record is not None:
                undone = await self._handlers[component.kind].roll_back(work, record)
            if component.roll_back:
                self._runner.kill_leftovers(_run_id(active, "roll_back"))
                await self._run_hook(active, work, "roll_back", component.roll_back)
                undone = Undone.RESTORED
        except (StepFailed, OSError) as error:
            logger.exception("roll back failed", extra=_names(active.offer))
            self._add_to_log(active, f"roll back of {component.name}: {error}")
            undone = Undone.IMPOSSIBLE
        active.is_touched |= undone != Undone.NOTHING
        if undone == Undone.IMPOSSIBLE and component.name not in active.unrestored:
            active.unrestored.append(component.name)

    def _add_to_log(self, active: Active, line: str) -> None:
        if active.outcome:
            log_tail = f"{active.outcome.log_tail}\n{line}"
            active.outcome = replace(active.outcome, log_tail=log_tail)

    # The end, and reports

    def _finish(self, active: Active, step: Step) -> None:
        names = {**_names(active.offer), "step": step.value}
        if active.outcome:
            names |= {"reason": active.outcome.reason_code, "why": active.outcome.message}
        logger.info("deployment finished", extra=names)
        if step == Step.SUCCEEDED:
            self.state.installed |= {c.name: c.version for c in active.offer.components}
        kinds = (c.kind for c in active.offer.components)
        self.state.leftovers = [
            {"kind": kind, "record": record}
            for kind, record in zip(kinds, active.records, strict=True)
            if record is not None
        ]
        self.state.active = None
        self._report(active, step)
        self._withdrawn = ""
        self._clean_up()

    def _clean_up(self) -> None:
        """Removes what finished deployments left; repeated after a crash."""
        for item in self.state.leftovers:
            with suppress(OSError):
                self._handlers[item["kind"]].commit(item["record"])
        if self.state.leftovers:
            self.state.leftovers = []
            self._save()
        active = self.state.active
        self._downloader.discard(keep_deployment_id=active.offer.deployment_id if active else "")

    def _report(self, active: Active, step: Step, progress: int | None = None) -> None:
        """Spools a report in the same write that makes the step durable."""
        active.sequence += 1
        report = Report(
            active.offer.deployment_id,
            active.sequence,
            step,
            progress,
            device_time=self._clock.now().isoformat(),
        )
        if active.outcome and step in TERMINAL_STEPS:
            report = replace(
                report,
                reason_code=active.outcome.reason_code,
                message=clean_text(active.outcome.message, MESSAGE_CHARACTERS),
                log_tail=clean_text(active.outcome.log_tail, LOG_TAIL_CHARACTERS),
            )
        active.last = report
        if not active.is_disowned:
            self.state.put(report)
        if step in TERMINAL_STEPS:
            self.state.finish(report)
        self._save()
        self._on_report()

    def _repeat(self, report: Report) -> None:
        if report not in self.state.outbox:
            self.state.outbox.append(report)
        self._on_report()

    async def _keep_lease(self, active: Active) -> None:
        """Tells the platform in good time that long steps are still under way."""
        lease = active.offer.lease_seconds or DEFAULT_LEASE_SECONDS
        while True:
            before = active.sequence
            await self._clock.sleep(max(1.0, lease / REPORTS_PER_LEASE))
            if active.sequence == before and active.last:
                self._report(active, active.last.step, active.last.progress_percent)

    def _save(self) -> None:
        self._journal.save(self.state)

    def _work_of(self, active: Active, index: int) -> Work:
        deployment_id = active.offer.deployment_id
        path = self._downloader.path(deployment_id, index)
        return Work(deployment_id, index, active.offer.components[index], path)

    async def _run_hook(self, active: Active, work: Work, name: str, hook: Hook) -> None:
        handler = self._handlers[work.component.kind]
        environment = {
            "FLEETD_DEPLOYMENT_ID": work.deployment_id,
            "FLEETD_RELEASE": active.offer.release_name,
            "FLEETD_RELEASE_VERSION": active.offer.release_version,
            "FLEETD_COMPONENT": work.component.name,
            "FLEETD_VERSION": work.component.version,
            "FLEETD_PREVIOUS_VERSION": self.state.installed.get(work.component.name, ""),
            "FLEETD_FILE": str(work.file),
            "FLEETD_HOOK": name,
            "FLEETD_RUN_ID": f"{work.deployment_id}:{work.index}:{name}",
            **handler.environment(work, active.records[work.index]),
        }
        await self._runner.run(hook, f"{name}_failed", environment)


def _run_id(active: Active, name: str) -> str:
    return f"{active.offer.deployment_id}:{active.component}:{name}"


def _names(offer: Offer) -> dict[str, str]:
    release = f"{offer.release_name} {offer.release_version}"
    return {"deployment": offer.deployment_id, "release": release}
