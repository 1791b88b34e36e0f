"""What this device believes of an offer: only what two parties have signed.

The organization signs its releases offline; that stands in the targets of its TUF repository, which
the reference client reads. The platform signs, for this device alone, which of them to install now.
Both have to name the same files with the same digests and lengths, and the targets also say what
else an offer tells of a component: its kind, its commands, its place.

A device that was given a root at enrollment never installs anything unsigned again, whatever the
platform says. One without a root installs only where the organization is in trial mode.
"""

import asyncio
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Key, Signature
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    RepositoryError,
    SlowRetrievalError,
)
from tuf.api.metadata import Metadata, Root, TargetFile
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from fleetd_agent.identity import Identity
from fleetd_agent.journal import State
from fleetd_agent.messages import Component, Offer, StepFailed
from fleetd_agent.signed import EXTENSION
from fleetd_agent.threads import in_daemon_thread
from fleetd_agent.versions import is_older

logger = logging.getLogger(__name__)

INSTRUCTION = "fleetd-instruction"
FORMAT = 1
READ_TIMEOUT_SECONDS = 10.0
REFRESH_SECONDS = 60.0
BLOCK_BYTES = 64 * 1024
MAXIMUM_INSTRUCTION_CHARACTERS = 128 * 1024
# A repository that is away now may be back soon; one that lies is not asked twice.
RETRY_AFTER_SECONDS = (5.0, 20.0, 60.0)
# How far the clock of the device may be behind that of the platform.
MAXIMUM_SKEW = timedelta(days=1)


class Refused(StepFailed):
    """The offer is not believed. Nothing of it was downloaded or installed."""


class Unavailable(Refused):
    """The repository cannot be reached, or is too slow: it may be different later."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What remains of an instruction that was believed. `counter` is 0 in trial mode."""

    counter: int = 0
    issued: str = ""


class Trust(Protocol):
    """Decides about offers before anything of them is fetched."""

    async def check(self, offer: Offer, state: State) -> None:
        """Raises StepFailed for an offer that is not believed; else notes its number in `state`,
        which the caller makes durable."""


class BoundedFetcher(FetcherInterface):
    """Downloads for the TUF client within one time limit for all of them together."""

    def __init__(self, opener: urllib.request.OpenerDirector, deadline: float) -> None:
        self._opener = opener
        self._deadline = deadline

    def _fetch(self, url: str) -> Iterator[bytes]:
        if not url.startswith(("http://", "https://")):
            raise DownloadError(f"not a web address: {url[:100]}")
        request = urllib.request.Request(url, headers={"User-Agent": "fleetd-agent"})  # noqa: S310
        try:
            response = self._opener.open(request, timeout=self._left())
        except urllib.error.HTTPError as error:
            with error:
                raise DownloadHTTPError(f"{url}: {error.code}", error.code) from error
        except (OSError, ValueError) as error:
            raise DownloadError(f"{url}: {error}") from error
        return self._blocks(response)

    def _blocks(self, response: Any) -> Iterator[bytes]:
        with response:
            while True:
                self._left()
                try:
                    block = response.read1(BLOCK_BYTES)
                except (OSError, ValueError) as error:
                    raise DownloadError(str(error)) from error
                if not block:
                    return
                yield block

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise SlowRetrievalError("the repository is too slow")
        return min(left, READ_TIMEOUT_SECONDS)


class Repository:
    """This device's copy of the metadata of its organization, kept by the reference client."""

    def __init__(self, folder: Path, opener: urllib.request.OpenerDirector) -> None:
        self._folder = folder
        self._opener = opener

    def look_up(
        self, url: str, root: str, paths: list[str]
    ) -> tuple[Root, dict[str, TargetFile | None]]:
        """The newest root, and what the newest targets say of these paths. `root` is trusted.

        Raises `Unavailable` where the repository cannot be read, `Refused` where it is not what
        the holders of the keys have signed.
        """
        fetcher = BoundedFetcher(self._opener, time.monotonic() + REFRESH_SECONDS)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            updater = Updater(
                str(self._folder),
                f"{url}/metadata/",
                fetcher=fetcher,
                config=UpdaterConfig(max_delegations=0),
                bootstrap=root.encode(),
            )
            updater.refresh()
            found = {path: updater.get_targetinfo(path) for path in paths}
            newest = Metadata[Root].from_bytes((self._folder / "root.json").read_bytes())
        except DownloadLengthMismatchError as error:
            raise Refused("metadata_refused", f"longer than it may be: {error}") from error
        except DownloadError as error:
            raise Unavailable("metadata_unavailable", f"cannot be had: {error}") from error
        except (RepositoryError, ValueError) as error:
            message = f"{type(error).__name__}: {error}"
            raise Refused("metadata_refused", message) from error
        except OSError as error:
            raise Unavailable("metadata_unavailable", str(error)) from error
        return newest.signed, found


def check_offer(
    offer: Offer, state: State, identity: Identity, repository: Repository, now: datetime
) -> Verified:
    """What to remember of an offer that is believed; raises `Refused`. Takes time: it downloads."""
    if not identity.trusted_root:
        if offer.is_trial_unsigned:
            return Verified()
        message = "this device trusts no root yet: fleetd-agent trust ROOT.json"
        raise Refused("instruction_refused", message)
    if not offer.instruction:
        raise Refused("instruction_refused", "the offer is not signed")
    paths = [component.target_path for component in offer.components]
    root, targets = repository.look_up(offer.repository_url, identity.trusted_root, paths)
    signed = _open_instruction(offer.instruction, root, identity)
    _check_instruction(signed, offer, state, identity, now)
    for position, component in enumerate(offer.components):
        _check_component(offer, position, component, targets[component.target_path])
        _check_version(component, state, signed)
    return Verified(signed["counter"], signed["issued"])


def _open_instruction(text: str, root: Root, identity: Identity) -> dict[str, Any]:
    """The signed part, signed by one of the keys that the root names for instructions."""
    extension: Any = root.unrecognized_fields.get(EXTENSION) or {}
    try:
        if extension["organization_id"] != identity.organization_id:
            raise Refused("metadata_refused", "the root is another organization's")
        if len(text) > MAXIMUM_INSTRUCTION_CHARACTERS:
            raise Refused("instruction_refused", "the instruction is too long")
        document = json.loads(text)
        signed: dict[str, Any] = document["signed"]
        raw = str(encode_canonical(signed)).encode()
        keys = extension["instruction_keys"]
        if any(_is_signed(each, keys, raw) for each in document["signatures"][:8]):
            return signed
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refused("instruction_refused", f"cannot be read: {error!r}"[:300]) from error
    message = "not signed by a key that the root names for instructions"
    raise Refused("instruction_refused", message)


def _is_signed(signature: dict[str, str], keys: dict[str, Any], raw: bytes) -> bool:
    key_id = signature["keyid"]
    if key_id not in keys:
        return False
    key = Key.from_dict(key_id, json.loads(json.dumps(keys[key_id])))
    try:
        key.verify_signature(Signature(key_id, signature["sig"]), raw)
    except UnverifiedSignatureError:
        return False
    return True


def _check_instruction(
    signed: dict[str, Any], offer: Offer, state: State, identity: Identity, now: datetime
) -> None:
    try:
        _check_addressee(signed, offer, identity)
        counter = signed["counter"]
        if type(counter) is not int or counter <= state.instruction_counter:
            message = f"number {counter} after {state.instruction_counter}: an old instruction"
            raise Refused("instruction_refused", message)
        _check_time(signed, state, now)
        named = [(t["path"], t["sha256"], t["length"]) for t in signed["targets"]]
    except (KeyError, ValueError, TypeError) as error:
        raise Refused("instruction_refused", f"incomplete: {error!r}"[:300]) from error
    offered = [(c.target_path, c.sha256, c.size_bytes) for c in offer.components]
    if named != offered:
        message = "the offer and its instruction do not name the same files"
        raise Refused("digest_mismatch", message)


def _check_addressee(signed: dict[str, Any], offer: Offer, identity: Identity) -> None:
    kind = (signed["_type"], signed["format"])
    if kind != (INSTRUCTION, FORMAT):
        raise Refused("instruction_refused", f"of an unknown kind: {kind}"[:300])
    wanted = {
        "organization_id": identity.organization_id,
        "device_id": identity.device_id,
        "deployment_id": offer.deployment_id,
    }
    for name, value in wanted.items():
        if signed[name] != value:
            message = f"the instruction is for another {name.removesuffix('_id')}"
            raise Refused("instruction_refused", message)


def _check_time(signed: dict[str, Any], state: State, now: datetime) -> None:
    """Not expired; a clock that was set back does not count below what was seen already."""
    issued, expires = _moment(signed["issued"]), _moment(signed["expires"])
    if state.instruction_issued:
        now = max(now, _moment(state.instruction_issued))
    if now >= expires:
        message = f"the instruction has expired at {signed['expires']}; here it is {now:%FT%TZ}"
        raise Refused("instruction_refused", message)
    if issued - now > MAXIMUM_SKEW:
        message = f"the clock of this device is wrong: it says {now:%FT%TZ}"
        raise Refused("instruction_refused", message)


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _check_component(
    offer: Offer, position: int, component: Component, target: TargetFile | None
) -> None:
    """What the offer says of a component is what the holders of the targets keys have signed."""
    if target is None:
        message = f"{component.name}: the signed targets do not name {component.target_path!r}"
        raise Refused("metadata_refused", message)
    if target.hashes != {"sha256": component.sha256} or target.length != component.size_bytes:
        message = f"{component.name} is not the file that was signed"
        raise Refused("digest_mismatch", message)
    wanted = {
        "release": offer.release_name,
        "version": offer.release_version,
        "component": component.name,
        "position": position,
        "count": len(offer.components),
        "description": component.description,
    }
    said = target.custom if isinstance(target.custom, dict) else {}
    different = [name for name, value in wanted.items() if said.get(name) != value]
    if component.version != offer.release_version:
        different.append("version")
    if different:
        message = f"{component.name} is offered otherwise than it was signed: {different[0]}"
        raise Refused("metadata_refused", message)


def _check_version(component: Component, state: State, signed: dict[str, Any]) -> None:
    present = state.installed.get(component.name, "")
    if present and is_older(component.version, present) and signed["allow_downgrade"] is not True:
        message = f"{component.name} {present} is installed, {component.version} is older"
        raise Refused("downgrade_refused", message)


class DeviceTrust:
    """The trust of one device. `identity` is asked for anew, because it may be renewed."""

    def __init__(
        self,
        identity: Callable[[], Identity | None],
        repository: Repository,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._identity = identity
        self._repository = repository
        self._now = now

    async def check(self, offer: Offer, state: State) -> None:
        """Raises StepFailed for an offer that is not believed; else notes its number."""
        for pause in (*RETRY_AFTER_SECONDS, None):
            try:
                verified = await self._check_once(offer, state)
                break
            except Unavailable as error:
                if pause is None:
                    raise
                logger.warning("repository is not available", extra={"why": error.message})
                await asyncio.sleep(pause)
        if verified.counter:
            state.instruction_counter = verified.counter
            state.instruction_issued = verified.issued

    async def _check_once(self, offer: Offer, state: State) -> Verified:
        identity = self._identity()
        if identity is None:
            raise Refused("instruction_refused", "this device is not enrolled")

        def work() -> Verified:
            return check_offer(offer, state, identity, self._repository, self._now())

        try:
            return await asyncio.wait_for(in_daemon_thread(work, "trust"), REFRESH_SECONDS + 5.0)
        except TimeoutError:
            message = "the repository is too slow"
            raise Unavailable("metadata_unavailable", message) from None
