"""The update state machine of a device.

It touches the world only through ports, and writes to the journal before each step, so that a kill
or a power cut at any instant leaves a deployment that goes on or is rolled back, and never one that
is applied twice:

- an action that was begun and not finished is not repeated, except where its handler can tell how
  far it came (files and slots can, scripts and hooks cannot): then the deployment is rolled back;
- rolling back is repeatable, and is repeated until it is through;
- staging and verifying change nothing that is in use, so they may run again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from fleetd_agent import plan
from fleetd_agent.admission import (
    Obstacle,
    check_offer,
    is_plain_id,
    obstacle_to,
    pause_of,
    window_obstacle,
)
from fleetd_agent.checks import run_check
from fleetd_agent.failures import LinkExpired, Restart, StepFailed, TryLater
from fleetd_agent.files import as_step_failure
from fleetd_agent.journal import CARRY_OUT, DOWNLOAD, ROLL_BACK, Active
from fleetd_agent.limits import TimeLimit
from fleetd_agent.messages import Check, Component, Hook, Offer, Outcome, Step
from fleetd_agent.plan import AFTER, AGENT, APPLY, BEFORE, REBOOT, RESTART, STAGE, VERIFY, Action
from fleetd_agent.policy import InstallPolicy, Mode, Reboot
from fleetd_agent.ports import Handler, Ports, SelfUpdate, Undone, Work
from fleetd_agent.reporting import Reporter
from fleetd_agent.threads import to_the_end

logger = logging.getLogger(__name__)

LINK_RETRY_SECONDS = 60.0
POLL_SECONDS = 1.0
DEFER_BASE_SECONDS = 15
DEFER_CAP_SECONDS = 900
# About a day, where the offer has no deadline.
DEFERRALS = 100
DEFAULT_HOOK_SECONDS = 300
DEFAULT_REBOOT_SECONDS = 600
NO_POLICY = InstallPolicy()
DOWNLOADED_ONLY = Outcome("downloaded_only", "the files are here and wait for a later deployment")


class Stopped(Exception):
    """The agent is shutting down; the journal says where to go on."""


class Engine:
    """Carries out one deployment at a time and remembers how each ended."""

    def __init__(
        self,
        ports: Ports,
        *,
        boot_id: Callable[[], str],
        on_report: Callable[[], None] = lambda: None,
    ) -> None:
        self._ports = ports
        self._boot_id = boot_id
        self._wake = asyncio.Event()
        self._fresh_links = asyncio.Event()
        self._next: Offer | None = None
        self._withdrawn: str = ""
        # What may be cut off at any time, because it can be done again.
        self._interruptible: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._limit = TimeLimit(0, "installing")
        self.state = ports.journal.load()
        self._reporter = Reporter(self.state, ports.journal, ports.clock, on_report)

    @property
    def kinds(self) -> list[str]:
        """The component kinds that this device can install."""
        return sorted(set(self._ports.handlers) - {AGENT})

    @property
    def is_paused(self) -> bool:
        """Whether somebody at the device paused updates."""
        return self._ports.control.is_paused

    # What the platform says

    def offer(self, offer: Offer) -> None:
        """Takes an offer; one that is known already is answered from the journal.

        The id names folders, before anything else of the offer is believed: one that is no plain
        name is not even answered.
        """
        if not is_plain_id(offer.deployment_id):
            logger.error("offer without a plain id, not taken")
            return
        active = self.state.active
        if finished := self.state.finished.get(offer.deployment_id):
            self._reporter.repeat(finished)
        elif active and active.offer.deployment_id == offer.deployment_id:
            self._refresh_links(active, offer)
            if active.last:
                self._reporter.repeat(active.last)
        else:
            # The platform offers one at a time; if it changed its mind, the newest word counts.
            self._next = offer
            self._wake.set()

    def cancel(self, deployment_id: str) -> None:
        """Stops a deployment that has not begun to change the machine; later it is finished or
        rolled back."""
        if self._next and self._next.deployment_id == deployment_id:
            self._next = None
        active = self.state.active
        if active and active.offer.deployment_id == deployment_id and _is_untouched(active):
            self._withdraw(active)

    def _withdraw(self, active: Active) -> None:
        self._withdrawn = active.offer.deployment_id
        if self._interruptible:
            self._interruptible.cancel()

    def acknowledge(self, deployment_id: str, sequence: int, *, is_terminal: bool = False) -> None:
        """Forgets reports that the platform has stored, and stops work that it has given up."""
        if self.state.acknowledge(deployment_id, sequence):
            self._note()
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
        self.state.instruction_counter, self.state.instruction_issued = 0, ""
        self._save()

    def forget(self, deployment_id: str) -> None:
        """The platform does not want reports of this deployment."""
        logger.warning("deployment is not ours any more", extra={"deployment": deployment_id})
        self.state.outbox = [r for r in self.state.outbox if r.deployment_id != deployment_id]
        active = self.state.active
        if active and active.offer.deployment_id == deployment_id:
            self._disown(active)
        self._note()

    def _disown(self, active: Active) -> None:
        active.is_disowned = True
        if _is_untouched(active):
            self._withdraw(active)

    # Work

    async def run(self) -> None:
        """Works until stopped; first goes on with what the journal says is under way.

        Raises Restart once a new version of the agent is in place.
        """
        await self._clean_up()
        while not self._is_stopping:
            if active := self.state.active:
                await self._work_with_lease(active)
                await self._clean_up()
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
        if self._interruptible:
            self._interruptible.cancel()

    def _begin(self, offer: Offer) -> None:
        logger.info("deployment accepted", extra=_names(offer))
        active = Active(offer=offer, records=[None] * len(offer.components))
        try:
            check_offer(offer, self._ports.handlers, self.state.installed)
        except Exception as error:  # no offer may end the engine, however it is made
            logger.info("deployment refused", extra=_names(offer), exc_info=error)
            active.outcome = Outcome.of(_as_failure(error, "looking at the offer"))
            self._finish(active, Step.FAILED)
            return
        self.state.active = active
        if self.is_paused:
            self._save()
        else:
            self._reporter.tell(active, Step.DOWNLOADING)

    async def _work_with_lease(self, active: Active) -> None:
        keeper = asyncio.create_task(self._reporter.keep_lease(active))
        try:
            await self._work(active)
        except Stopped:
            logger.info("deployment set aside until the next start", extra=_names(active.offer))
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper

    async def _work(self, active: Active) -> None:
        self._limit = TimeLimit(_timeout(active, Step.INSTALLING), "installing")
        try:
            if active.phase == DOWNLOAD:
                await self._check_trust(active)
                await self._download(active)
            if active.phase == CARRY_OUT and not _is_download_only(active.offer):
                await self._carry_out(active)
        except (Stopped, Restart):
            raise
        except StepFailed as failure:
            self._turn_back(active, failure)
        except Exception as error:  # whatever went wrong, the device goes back
            logger.exception("step failed", extra=_names(active.offer))
            self._turn_back(active, _as_failure(error, f"in phase {active.phase}"))
        if active.phase == ROLL_BACK:
            await self._roll_back(active)
        else:
            self._finish(active, Step.SUCCEEDED)

    async def _interruptibly(self, active: Active, work: Coroutine[Any, Any, None]) -> None:
        """Waits for something that a cancellation or the end of the agent may cut off."""
        deployment_id = active.offer.deployment_id
        self._interruptible = asyncio.create_task(work)
        if self._withdrawn == deployment_id or self._is_stopping:
            self._interruptible.cancel()
        try:
            await self._interruptible
        except asyncio.CancelledError:
            if self._withdrawn == deployment_id:
                raise StepFailed("cancelled", "cancelled before installation") from None
            if self._is_stopping:
                raise Stopped from None
            self._interruptible.cancel()
            raise
        finally:
            self._interruptible = None

    async def _rest(self, active: Active, seconds: float) -> None:
        await self._interruptibly(active, self._ports.clock.sleep(seconds))

    async def _check_trust(self, active: Active) -> None:
        """Once: the verdict and the instruction's number become durable in one write."""
        if not active.is_trusted:
            check = self._ports.trust.check(active.offer, self.state)
            await self._interruptibly(active, check)
            active.is_trusted = True
            self._save()

    # Download

    async def _download(self, active: Active) -> None:
        if await self._wait_while(active, lambda: pause_of(self._ports.control)):
            self._reporter.tell(active, Step.DOWNLOADING)
        policy = active.offer.policy or NO_POLICY
        self._ports.downloader.limit(policy.maximum_bytes_per_second)
        limit = TimeLimit(_timeout(active, Step.DOWNLOADING), "downloading")
        async with self._until_deadline(active):
            async with limit.counted(grace=0):
                await self._interruptibly(active, self._fetch_all(active))
        if policy.mode == Mode.DOWNLOAD_ONLY:
            for index in range(len(active.offer.components)):
                self._ports.downloader.keep(self._work_of(active, index))
        active.phase, active.position, active.is_begun = CARRY_OUT, 0, False
        self._reporter.tell(active, Step.DOWNLOADED)

    @asynccontextmanager
    async def _until_deadline(self, active: Active) -> AsyncIterator[None]:
        """A download that never comes to its end is cut off at the deadline."""
        try:
            async with asyncio.timeout(None) as cut:
                watcher = asyncio.create_task(self._cut_when_late(active, cut))
                try:
                    yield
                finally:
                    watcher.cancel()
        except TimeoutError:
            if not cut.expired():
                raise
            message = "the deadline passed during the download"
            raise StepFailed("deadline_passed", message) from None

    async def _cut_when_late(self, active: Active, cut: asyncio.Timeout) -> None:
        while not self._is_late(active):
            await asyncio.sleep(POLL_SECONDS)
        cut.reschedule(asyncio.get_running_loop().time())

    async def _fetch_all(self, active: Active) -> None:
        for index in range(len(active.offer.components)):
            await self._fetch(active, index)

    async def _fetch(self, active: Active, index: int) -> None:
        count = len(active.offer.components)

        def progress(percent: int) -> None:
            self._reporter.tell(active, Step.DOWNLOADING, progress=(100 * index + percent) // count)

        while True:
            self._fresh_links.clear()
            try:
                await self._ports.downloader.fetch(self._work_of(active, index), progress)
                return
            except LinkExpired:
                self._check_deadline(active, "the download link expired and no new one came")
                await self._wait_for_links(active)

    def _check_deadline(self, active: Active, message: str, reason_code: str = "") -> None:
        if self._is_late(active):
            raise StepFailed(reason_code or "deadline_passed", message)

    def _is_late(self, active: Active) -> bool:
        deadline, clock = active.offer.deadline_at(), self._ports.clock
        return deadline is not None and clock.is_sure and clock.server_now() > deadline

    async def _wait_for_links(self, active: Active) -> None:
        logger.info("download link expired, waiting for a fresh one", extra=_names(active.offer))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._fresh_links.wait(), LINK_RETRY_SECONDS)

    def _refresh_links(self, active: Active, offer: Offer) -> None:
        # Only the links are taken: what is installed is what was offered first.
        urls = {(c.name, c.sha256): c.url for c in offer.components}
        components = tuple(
            replace(c, url=urls.get((c.name, c.sha256), c.url)) for c in active.offer.components
        )
        active.offer = replace(active.offer, components=components, deadline=offer.deadline)
        if active.phase == DOWNLOAD:
            self._note()
            self._fresh_links.set()

    # Waiting

    async def _wait_while(self, active: Active, find: Callable[[], Obstacle | None]) -> bool:
        """Waits until nothing stands in the way, or the deadline passes; True when it waited."""
        told: Obstacle | None = None
        while obstacle := find():
            why = f"{obstacle.message}; the deadline has passed"
            self._check_deadline(active, why, "deadline_passed")
            if obstacle != told:
                self._tell_obstacle(active, obstacle)
                told = obstacle
            await self._rest(active, POLL_SECONDS)
        return told is not None

    def _tell_obstacle(self, active: Active, obstacle: Obstacle) -> None:
        logger.info("deployment waits", extra={**_names(active.offer), "why": obstacle.message})
        why = Outcome(obstacle.reason_code, obstacle.message)
        self._reporter.tell(active, Step.WAITING, why=why, until=obstacle.until)

    async def _defer(self, active: Active, later: TryLater) -> None:
        """A command asked to be tried later: with growing pauses, until the deadline."""
        active.is_begun = False
        active.deferrals += 1
        self._check_deadline(active, f"{later.message}; the deadline has passed", later.reason_code)
        if active.deferrals > DEFERRALS:
            raise StepFailed(later.reason_code, f"{later.message}, {DEFERRALS} times")
        seconds = min(DEFER_CAP_SECONDS, DEFER_BASE_SECONDS * 2 ** min(active.deferrals - 1, 10))
        why = Outcome("hook_deferred", later.message, later.log_tail)
        until = self._ports.clock.server_now() + timedelta(seconds=seconds)
        self._reporter.tell(active, Step.WAITING, why=why, until=until)
        await self._rest(active, seconds)

    # Installation

    async def _carry_out(self, active: Active) -> None:
        actions = plan.actions_of(active.offer)
        while active.position < len(actions):
            action = actions[active.position]
            await self._wait_for_permission(active, actions)
            try:
                await self._perform(active, action)
            except TryLater as later:
                await self._defer(active, later)
                continue
            active.position += 1
            active.is_begun, active.deferrals = False, 0
            if self._is_stopping:
                self._save()
                raise Stopped

    async def _wait_for_permission(self, active: Active, actions: tuple[Action, ...]) -> None:
        """Looks at pause, agreement and windows before the first action and the first change."""
        ports, offer = self._ports, active.offer
        first = plan.first_switch(actions)
        if active.position in (0, first) and not active.is_begun and not active.deferrals:
            await self._wait_while(active, lambda: obstacle_to(offer, ports.control, ports.clock))
        if self._withdrawn == offer.deployment_id and _is_untouched(active):
            raise StepFailed("cancelled", "cancelled before installation")
        is_verifying = all(a.stage == VERIFY for a in actions[active.position :])
        step = Step.VERIFYING if is_verifying else Step.INSTALLING
        if active.last is None or active.last.step != step:
            self._reporter.tell(active, step)

    async def _perform(self, active: Active, action: Action) -> None:
        if action.stage == VERIFY:
            await self._verify(active, action)
        elif action.stage == REBOOT:
            await self._reboot(active)
        elif action.stage == RESTART:
            self._restart(active, action)
        elif action.stage == STAGE:
            await self._stage(active, action)
        else:
            await self._switch(active, action)

    async def _stage(self, active: Active, action: Action) -> None:
        work = self._work_of(active, action.component)
        handler = self._handler(work.component)
        for step in ("prepare", STAGE):
            self._ports.runner.kill_leftovers(_run_id(active, action.component, step))
        async with self._limit.counted():
            active.records[action.component] = await handler.prepare(work)
            self._enter(active)
            await handler.stage(work, active.records[action.component] or {})

    async def _switch(self, active: Active, action: Action) -> None:
        work = self._work_of(active, action.component)
        component, handler = work.component, self._handler(work.component)
        async with self._limit.counted():
            if active.is_begun:
                self._refuse_repetition(active, action, handler)
            else:
                self._limit.check()
                if action.stage == APPLY:
                    staged = active.records[action.component] or {}
                    active.records[action.component] = {**staged, **await handler.prepare(work)}
                self._enter(active)
            if action.stage == APPLY:
                await handler.apply(work, active.records[action.component] or {})
                active.is_touched = True
            elif action.stage == BEFORE and component.before:
                await self._run_hook(active, work, BEFORE, component.before)
            elif action.stage == AFTER and component.after:
                await self._run_after(active, work, component.after)

    def _enter(self, active: Active) -> None:
        """Writes down that the next action begins."""
        active.is_begun, active.boot_id = True, self._boot_id()
        self._save()

    def _refuse_repetition(self, active: Active, action: Action, handler: Handler) -> None:
        component = active.offer.components[action.component]
        self._ports.runner.kill_leftovers(_run_id(active, action.component, action.stage))
        if action.stage == AFTER and self._is_rebooted(active) and component.kind == "firmware":
            return  # a reboot during the after hook of firmware is what that hook is for
        if action.stage != APPLY or not handler.is_resumable:
            what = component.kind if action.stage == APPLY else f"{action.stage} hook"
            message = f"the agent stopped while the {what} of {component.name} ran"
            raise StepFailed("interrupted", message)

    async def _run_after(self, active: Active, work: Work, hook: Hook) -> None:
        if self._is_rebooted(active):
            self._reporter.tell(active, Step.REBOOTING)
        else:
            await self._run_hook(active, work, AFTER, hook)

    def _is_rebooted(self, active: Active) -> bool:
        """Whether the machine was restarted since the action under way was entered."""
        return bool(active.boot_id) and active.boot_id != self._boot_id()

    async def _reboot(self, active: Active) -> None:
        offer, ports = active.offer, self._ports
        if not active.is_begun:
            if (offer.policy or NO_POLICY).reboot == Reboot.IN_WINDOW:
                await self._wait_while(active, lambda: window_obstacle(offer, ports.clock))
            active.is_begun, active.boot_id = True, self._boot_id()
            self._reporter.tell(active, Step.REBOOTING)
        if not self._is_rebooted(active):
            seconds = _timeout(active, Step.REBOOTING) or DEFAULT_REBOOT_SECONDS
            await self._interruptibly(active, ports.rebooter.reboot(seconds))

    def _restart(self, active: Active, action: Action) -> None:
        """Hands over to the new version of the agent, and looks who runs when one comes back."""
        handler = self._ports.handlers.get(AGENT)
        if not isinstance(handler, SelfUpdate):
            return
        if active.is_begun:
            handler.settle(active.records[action.component] or {})
            return
        active.is_begun = True
        self._reporter.tell(active, Step.REBOOTING)
        raise Restart

    # Verification

    async def _verify(self, active: Active, action: Action) -> None:
        name = active.offer.components[action.component].name
        limit = TimeLimit(_timeout(active, Step.VERIFYING), f"verifying {name}")
        work = replace(self._work_of(active, action.component), timeout_seconds=limit.left())
        async with limit.counted():
            await self._interruptibly(active, self._look(active, work))

    async def _look(self, active: Active, work: Work) -> None:
        component = work.component
        self._ports.runner.kill_leftovers(_run_id(active, work.index, VERIFY))
        await self._handler(component).verify(work, active.records[work.index] or {})
        if component.verify:
            await self._run_hook(active, work, VERIFY, component.verify)
        checks = component.checks
        if plan.is_agent(component):
            checks = (*checks, SELF_CHECK)
        for check in checks:
            await run_check(check, self._probe_for(active, work, check), self._ports.clock)

    def _probe_for(
        self, active: Active, work: Work, check: Check
    ) -> Callable[[Check], Coroutine[Any, Any, None]]:
        if check.probe == "http":
            return self._ports.probes.http
        if check.probe == "tcp":
            return self._ports.probes.tcp
        if check.probe == "heartbeat":
            return self._heartbeat_probe(active)
        if check.probe == "command" and check.command:
            return self._command_probe(active, work, check.command)
        raise StepFailed("verify_failed", f"this agent knows no check {check.probe!r}")

    def _heartbeat_probe(self, active: Active) -> Callable[[Check], Coroutine[Any, Any, None]]:
        """The platform has stored a report that was made after the switch."""
        self._reporter.tell(active, active.last.step if active.last else Step.VERIFYING)
        after = active.last

        async def probe(check: Check) -> None:
            while after and not self._reporter.is_stored(after):
                await asyncio.sleep(0.1)

        return probe

    def _command_probe(
        self, active: Active, work: Work, command: Hook
    ) -> Callable[[Check], Coroutine[Any, Any, None]]:
        async def probe(check: Check) -> None:
            await self._run_hook(active, work, VERIFY, command)

        return probe

    # Rolling back

    def _turn_back(self, active: Active, failure: StepFailed) -> None:
        logger.warning(
            "deployment failed, rolling back",
            extra={**_names(active.offer), "reason": failure.reason_code, "why": failure.message},
        )
        active.outcome = Outcome.of(failure)
        if active.phase == DOWNLOAD:
            self._ports.downloader.discard()
        elif active.phase == CARRY_OUT:
            active.undo = plan.to_undo(active.offer, active.position, is_begun=active.is_begun)
        active.phase = ROLL_BACK
        self._save()

    async def _roll_back(self, active: Active) -> None:
        while active.undo:
            await self._undo(active, active.undo[0])
            active.undo = active.undo[1:]
            self._save()
        kept = [active.offer.components[n].name for n in self._verified(active)]
        is_undone = active.is_touched and not active.unrestored and not kept
        if active.unrestored:
            self._add_to_message(active, f"could not be undone: {', '.join(active.unrestored)}")
        if kept:
            self._add_to_message(active, f"installed and kept: {', '.join(kept)}")
        self._finish(active, Step.ROLLED_BACK if is_undone else Step.FAILED)

    async def _undo(self, active: Active, index: int) -> None:
        # Going back takes the time that it takes, however little was left for installing.
        work = replace(self._work_of(active, index), timeout_seconds=0)
        component, record = work.component, active.records[index]
        undone = Undone.NOTHING
        try:
            self._ports.runner.kill_leftovers(_run_id(active, index, "roll_back"))
            if record is not None and self._is_applied(active, index):
                async with TimeLimit(0, f"going back from {component.name}").counted():
                    undone = await self._handler(component).roll_back(work, record)
            if component.roll_back:
                await self._run_hook(active, work, "roll_back", component.roll_back)
                undone = Undone.RESTORED
        except Exception as error:  # the others are to go back all the same
            logger.exception("roll back failed", extra=_names(active.offer))
            self._add_to_log(active, f"roll back of {component.name}: {error}")
            undone = Undone.IMPOSSIBLE
        active.is_touched |= undone != Undone.NOTHING
        if undone == Undone.IMPOSSIBLE and component.name not in active.unrestored:
            active.unrestored.append(component.name)

    def _is_applied(self, active: Active, index: int) -> bool:
        action = Action(index, APPLY)
        return plan.has_begun(active.offer, action, active.position, is_begun=active.is_begun)

    def _verified(self, active: Active) -> list[int]:
        return plan.verified(active.offer, active.position) if active.position else []

    def _add_to_log(self, active: Active, line: str) -> None:
        if active.outcome:
            log_tail = f"{active.outcome.log_tail}\n{line}"
            active.outcome = replace(active.outcome, log_tail=log_tail)

    def _add_to_message(self, active: Active, text: str) -> None:
        if active.outcome:
            message = f"{active.outcome.message}; {text}"
            active.outcome = replace(active.outcome, message=message)

    # The end

    def _finish(self, active: Active, step: Step) -> None:
        components = active.offer.components
        if step == Step.SUCCEEDED and _is_download_only(active.offer):
            active.outcome = DOWNLOADED_ONLY
        elif step == Step.SUCCEEDED:
            self.state.installed |= {c.name: c.version for c in components}
        else:
            done = [components[number] for number in self._verified(active)]
            self.state.installed |= {c.name: c.version for c in done}
        names = {**_names(active.offer), "step": step.value}
        if active.outcome:
            names |= {"reason": active.outcome.reason_code, "why": active.outcome.message}
        logger.info("deployment finished", extra=names)
        self.state.leftovers = [
            {"kind": plan.handler_name(component, self._ports.handlers), "record": record}
            for component, record in zip(components, active.records, strict=True)
            if record is not None
        ]
        self.state.active = None
        self._reporter.tell(active, step)
        self._withdrawn = ""

    async def _clean_up(self) -> None:
        """Removes what finished deployments left; repeated after a crash."""
        active = self.state.active
        keep = active.offer.deployment_id if active else ""
        await to_the_end(self._remove_leftovers, [*self.state.leftovers], keep)
        if self.state.leftovers:
            self.state.leftovers = []
            self._note()

    def _remove_leftovers(self, leftovers: list[dict[str, Any]], keep: str) -> None:
        for item in leftovers:
            if handler := self._ports.handlers.get(item["kind"]):
                try:
                    handler.commit(item["record"])
                except Exception:  # it only takes up room
                    logger.exception("cannot clean up", extra={"kind": item["kind"]})
        self._ports.downloader.discard(keep_deployment_id=keep)

    def _save(self) -> None:
        self._ports.journal.save(self.state)

    def _note(self) -> None:
        """Saves what the platform said. On a full disk it says it once more after a restart."""
        try:
            self._save()
        except OSError:
            logger.exception("what the platform said cannot be written down")

    def _handler(self, component: Component) -> Handler:
        return self._ports.handlers[plan.handler_name(component, self._ports.handlers)]

    def _work_of(self, active: Active, index: int) -> Work:
        deployment_id = active.offer.deployment_id
        path = self._ports.downloader.path(deployment_id, index)
        component = active.offer.components[index]
        return Work(deployment_id, index, component, path, self._limit.left())

    async def _run_hook(self, active: Active, work: Work, name: str, hook: Hook) -> None:
        seconds = work.limited(hook.timeout_seconds or DEFAULT_HOOK_SECONDS)
        hook = replace(hook, timeout_seconds=seconds)
        reason_code = "verify_failed" if name == VERIFY else "hook_failed"
        handler = self._handler(work.component)
        environment = {
            "FLEETD_DEPLOYMENT_ID": work.deployment_id,
            "FLEETD_RELEASE": active.offer.release_name,
            "FLEETD_RELEASE_VERSION": active.offer.release_version,
            "FLEETD_COMPONENT": work.component.name,
            "FLEETD_VERSION": work.component.version,
            "FLEETD_PREVIOUS_VERSION": self.state.installed.get(work.component.name, ""),
            "FLEETD_FILE": str(work.file),
            "FLEETD_HOOK": name,
            "FLEETD_ATTEMPT": str(active.deferrals + 1),
            "FLEETD_RUN_ID": _run_id(active, work.index, name),
            **handler.environment(work, active.records[work.index]),
        }
        try:
            await self._ports.runner.run(hook, reason_code, environment)
        except TryLater as later:
            if name == "roll_back":  # going back waits for nobody
                raise StepFailed(reason_code, later.message, later.log_tail) from later
            raise


SELF_CHECK = Check(
    "heartbeat", "the new agent reaches the platform", timeout_seconds=50, deadline_seconds=60
)


def _as_failure(error: Exception, doing: str) -> StepFailed:
    if isinstance(error, StepFailed):
        return error
    if isinstance(error, OSError):
        return as_step_failure(error, doing)
    return StepFailed("agent_error", f"{type(error).__name__}: {error}")


def _is_untouched(active: Active) -> bool:
    """Whether a deployment has not begun to change the machine."""
    if active.phase != CARRY_OUT:
        return active.phase == DOWNLOAD
    first = plan.first_switch(plan.actions_of(active.offer))
    return active.position < first or (active.position == first and not active.is_begun)


def _is_download_only(offer: Offer) -> bool:
    return offer.policy is not None and offer.policy.mode == Mode.DOWNLOAD_ONLY


def _timeout(active: Active, step: Step) -> int:
    return (active.offer.policy or NO_POLICY).step_timeouts.get(step.value, 0)


def _run_id(active: Active, index: int, name: str) -> str:
    return f"{active.offer.deployment_id}:{index}:{name}"


def _names(offer: Offer) -> dict[str, str]:
    release = f"{offer.release_name} {offer.release_version}"
    return {"deployment": offer.deployment_id, "release": release}
