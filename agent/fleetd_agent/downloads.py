"""Downloads over HTTP with resume, size and digest checks; a file appears whole or not at all."""

import asyncio
import hashlib
import http.client
import json
import logging
import math
import os
import re
import shutil
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from fleetd_agent.backoff import full_jitter
from fleetd_agent.files import (
    as_step_failure,
    make_folder,
    sha256_of,
    sync_folder,
    write_atomic,
)
from fleetd_agent.messages import Component, LinkExpired, StepFailed
from fleetd_agent.ports import Progress, Work
from fleetd_agent.threads import in_daemon_thread

logger = logging.getLogger(__name__)

BLOCK_BYTES = 256 * 1024
READ_TIMEOUT_SECONDS = 30.0
MINIMUM_BYTES_PER_SECOND = 512
SPEED_WINDOW_SECONDS = 60.0
ATTEMPTS_WITHOUT_PROGRESS = 6
PROGRESS_EVERY_SECONDS = 2.0
SPARE_BYTES = 1 << 20
KEPT = "kept"
SHA256 = re.compile(r"[0-9a-f]{64}")
EXPIRED_STATUSES = frozenset({401, 403, 404, 410})
HEADERS = {"User-Agent": "fleetd-agent", "Accept-Encoding": "identity"}


class Interrupted(Exception):
    """This attempt ended early; another one may go on."""


class NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from HTTPS to plain HTTP."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        """Refuses the one redirect that takes protection away."""
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise urllib.error.HTTPError(newurl, 502, "redirect to plain HTTP", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def build_opener(ca_file: str = "") -> urllib.request.OpenerDirector:
    """An HTTP(S) client that knows no other scheme and honours the usual proxy variables."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.ProxyBasicAuthHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        NoDowngrade(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


class Throttle:
    """A token bucket that all downloads of a device share: one second's worth at most is saved."""

    def __init__(self) -> None:
        self._rate = 0
        self._tokens = 0.0
        self._at = time.monotonic()
        self._lock = threading.Lock()

    @property
    def rate(self) -> int:
        """Bytes per second; 0 for no limit."""
        return self._rate

    def limit(self, bytes_per_second: int) -> None:
        """Changes the rate, also for downloads under way."""
        with self._lock:
            self._rate = bytes_per_second
            self._tokens = min(self._tokens, float(bytes_per_second))

    def block(self) -> int:
        """How much to read at once, so that the pauses stay short."""
        return min(BLOCK_BYTES, max(1024, self._rate // 4)) if self._rate else BLOCK_BYTES

    def take(self, size: int) -> float:
        """Counts bytes that came and answers for how many seconds no more may be read."""
        with self._lock:
            if not self._rate:
                return 0.0
            now = time.monotonic()
            earned = (now - self._at) * self._rate
            self._tokens = min(self._tokens + earned, float(self._rate)) - size
            self._at = now
            return max(0.0, -self._tokens / self._rate)


class Sink(Protocol):
    """Where the bytes of one download go."""

    def size(self) -> int:
        """How many bytes are here already."""

    def etag(self) -> str:
        """The entity tag that those bytes came with."""

    def begin(self, etag: str, *, is_resumed: bool) -> None:
        """Bytes follow: on top of those that are here, or from the start."""

    def write(self, block: bytes) -> None:
        """Takes the next bytes."""


@dataclass
class Transfer:
    """One download that can be stopped from another thread."""

    component: Component
    sink: Sink
    progress: Progress
    opener: urllib.request.OpenerDirector
    stop: threading.Event
    throttle: Throttle

    def attempt(self) -> None:
        """Gets the rest of the file; raises Interrupted when it may be tried again."""
        try:
            self._attempt()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in EXPIRED_STATUSES:
                raise LinkExpired from error
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                self._store(lambda: self.sink.begin("", is_resumed=False))
            raise Interrupted(f"the server answered {error.code}") from error
        except http.client.HTTPException as error:
            raise Interrupted(str(error) or type(error).__name__) from error
        except OSError as error:  # of the network: those of the disk come as StepFailed
            raise Interrupted(str(error)) from error

    def _store(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            raise as_step_failure(error, f"downloading {self.component.name}") from error

    def _attempt(self) -> None:
        if self.sink.size() >= self.component.size_bytes > 0:
            return
        if not self.component.url.startswith(("http://", "https://")):
            raise StepFailed("offer_refused", f"{self.component.name} has no web address")
        request = urllib.request.Request(self.component.url, headers=HEADERS)  # noqa: S310
        if self.sink.size() and self.sink.etag().startswith('"'):  # weak tags prove nothing
            request.add_header("Range", f"bytes={self.sink.size()}-")
            request.add_header("If-Range", self.sink.etag())
        with self.opener.open(request, timeout=READ_TIMEOUT_SECONDS) as response:
            is_resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
            if is_resumed and not _starts_at(response, self.sink.size()):
                self._store(lambda: self.sink.begin("", is_resumed=False))
                raise Interrupted("the server sent another range than was asked for")
            etag = response.headers.get("ETag", "")
            self._store(lambda: self.sink.begin(etag, is_resumed=is_resumed))
            self._receive(response)
        if self.sink.size() < self.component.size_bytes:
            raise Interrupted("the connection ended early")

    def _receive(self, response: http.client.HTTPResponse) -> None:
        size = self.component.size_bytes
        window_at, window_size, told_at = time.monotonic(), self.sink.size(), 0.0
        while block := response.read1(self.throttle.block()):
            if self.sink.size() + len(block) > size:
                raise StepFailed("size_mismatch", f"more than the {size} bytes of the offer came")
            self._store(partial(self.sink.write, block))
            now = time.monotonic()
            if now - window_at >= SPEED_WINDOW_SECONDS:
                speed = (self.sink.size() - window_size) / (now - window_at)
                if speed < min(MINIMUM_BYTES_PER_SECOND, self.throttle.rate / 2 or math.inf):
                    raise Interrupted(f"too slow: {speed:.0f} bytes/s")
                window_at, window_size = now, self.sink.size()
            if now - told_at >= PROGRESS_EVERY_SECONDS:
                told_at = now
                self.progress(100 * self.sink.size() // max(size, 1))
            if self.stop.wait(self.throttle.take(len(block))):
                raise Interrupted("stopped")


class FileSink:
    """A partial file with the entity tag that it came with beside it."""

    def __init__(self, path: Path) -> None:
        self._part = path.with_name(f"{path.name}.part")
        self._about = path.with_name(f"{path.name}.json")
        self._stream: BinaryIO | None = None
        self._size = self._part.stat().st_size if self._part.exists() else 0
        self._etag = _read_etag(self._about)

    def size(self) -> int:
        """How many bytes are here already."""
        return self._size

    def etag(self) -> str:
        """The entity tag that those bytes came with."""
        return self._etag

    def begin(self, etag: str, *, is_resumed: bool) -> None:
        """Opens the partial file."""
        self.close()
        if not is_resumed:
            self._part.unlink(missing_ok=True)
            self._size, self._etag = 0, etag
            write_atomic(self._about, json.dumps({"etag": etag}).encode())
        self._stream = self._part.open("ab")

    def write(self, block: bytes) -> None:
        """Appends."""
        if self._stream is None:
            raise ValueError("write before begin")
        self._stream.write(block)
        self._size += len(block)

    def close(self) -> None:
        """Lets go of the file; after a full disk the last bytes may not be there."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close()

    def keep(self, path: Path) -> None:
        """Makes the partial file the complete one."""
        self.close()
        descriptor = os.open(self._part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(self._part, path)
        sync_folder(path.parent)

    def sha256(self) -> str:
        """The digest of what is here."""
        self.close()
        return sha256_of(self._part)

    def restart(self) -> None:
        """Throws away what is here."""
        self.close()
        self._part.unlink(missing_ok=True)
        self._size, self._etag = 0, ""


class HashingSink:
    """Checks what comes without keeping it: what a simulated device does."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0

    def size(self) -> int:
        """How many bytes came."""
        return self._size

    def etag(self) -> str:
        """Nothing is kept, so nothing is resumed."""
        return ""

    def begin(self, etag: str, *, is_resumed: bool) -> None:
        """Starts over."""
        self._hash, self._size = hashlib.sha256(), 0

    def write(self, block: bytes) -> None:
        """Hashes."""
        self._hash.update(block)
        self._size += len(block)

    def sha256(self) -> str:
        """The digest of what came."""
        return self._hash.hexdigest()


class HttpDownloader:
    """Keeps the files of the deployment under way below one folder."""

    def __init__(self, folder: Path, opener: urllib.request.OpenerDirector) -> None:
        self._folder = folder
        self._opener = opener
        self._throttle = Throttle()

    def limit(self, bytes_per_second: int) -> None:
        """From now on at most so much for all downloads together; 0 for no limit."""
        self._throttle.limit(bytes_per_second)

    def path(self, deployment_id: str, index: int) -> Path:
        """Where the complete file of a component is."""
        return self._folder / deployment_id / str(index)

    def discard(self, keep_deployment_id: str = "") -> None:
        """Removes all downloads except those of one deployment, and those that are kept."""
        if self._folder.exists():
            for folder in self._folder.iterdir():
                if folder.name not in (keep_deployment_id, KEPT):
                    shutil.rmtree(folder, ignore_errors=True)

    def keep(self, work: Work) -> None:
        """Keeps a complete file, by its digest, for a later deployment that asks for it.

        Only the files of one deployment are kept: what an earlier one left goes.
        """
        folder = self._folder / KEPT
        mine = folder / work.deployment_id
        if folder.exists():
            for other in folder.iterdir():
                if other != mine:
                    shutil.rmtree(other, ignore_errors=True)
        make_folder(mine)
        kept = mine / work.component.sha256
        if not kept.exists():
            try:
                os.link(work.file, kept)
            except OSError:  # file systems without hard links, such as FAT
                os.replace(work.file, kept)
            sync_folder(mine)

    def _take_kept(self, work: Work) -> None:
        """Takes a file that an earlier deployment only downloaded."""
        for kept in (self._folder / KEPT).glob(f"*/{work.component.sha256}"):
            if not work.file.exists() and sha256_of(kept) == work.component.sha256:
                make_folder(work.file.parent)
                os.replace(kept, work.file)
                sync_folder(work.file.parent)

    async def fetch(self, work: Work, progress: Progress) -> None:
        """Completes the file, going on where an earlier attempt ended."""
        if SHA256.fullmatch(work.component.sha256):
            await asyncio.to_thread(self._take_kept, work)
        if await asyncio.to_thread(sha256_of, work.file) == work.component.sha256:
            return
        try:
            make_folder(work.file.parent)
            sink = FileSink(work.file)
            self._require_room(work, sink)
        except OSError as error:
            raise as_step_failure(error, f"downloading {work.component.name}") from error
        try:
            await self._complete(work, sink, progress)
        finally:
            with suppress(OSError):
                sink.close()

    async def _complete(self, work: Work, sink: FileSink, progress: Progress) -> None:
        for _ in range(2):  # a wrong digest after a resume deserves one fresh start
            had_bytes = sink.size() > 0
            await transfer(work.component, sink, progress, self._opener, self._throttle)
            if await asyncio.to_thread(sink.sha256) == work.component.sha256:
                await asyncio.to_thread(sink.keep, work.file)
                return
            sink.restart()
            if not had_bytes:
                break
        message = f"{work.component.name} is not the file that was offered"
        raise StepFailed("digest_mismatch", message)

    def _require_room(self, work: Work, sink: FileSink) -> None:
        missing = work.component.size_bytes - sink.size()
        free = shutil.disk_usage(work.file.parent).free
        if missing + SPARE_BYTES > free:
            name = work.component.name
            raise StepFailed("not_enough_space", f"{name} needs {missing} bytes, {free} are free")


async def transfer(
    component: Component,
    sink: Sink,
    progress: Progress,
    opener: urllib.request.OpenerDirector,
    throttle: Throttle,
) -> None:
    """Fills `sink`, retrying while attempts make progress; raises LinkExpired when they do not."""
    loop = asyncio.get_running_loop()
    stop = threading.Event()

    def tell(percent: int) -> None:
        loop.call_soon_threadsafe(_unless(stop, progress), percent)

    run = Transfer(component, sink, tell, opener, stop, throttle)
    failures = 0
    try:
        while failures < ATTEMPTS_WITHOUT_PROGRESS:
            before = sink.size()
            try:
                await in_daemon_thread(run.attempt, "download")
                return
            except Interrupted as error:
                failures = 0 if sink.size() > before else failures + 1
                text = {"component": component.name, "why": str(error), "have": sink.size()}
                logger.info("download interrupted", extra=text)
                await asyncio.sleep(full_jitter(failures, base=0.5, cap=30.0))
        raise LinkExpired
    finally:
        stop.set()


def _unless(stop: threading.Event, progress: Progress) -> Callable[[int], None]:
    def call(percent: int) -> None:
        if not stop.is_set():
            progress(percent)

    return call


def _starts_at(response: http.client.HTTPResponse, offset: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")


def _read_etag(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes())["etag"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


__all__ = ["HashingSink", "HttpDownloader", "Throttle", "build_opener", "transfer"]
