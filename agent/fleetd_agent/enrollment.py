"""Joining a platform: one Connect call on its web port, before the device has a certificate."""

import asyncio
import json
import logging
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from fleetd_agent.backoff import full_jitter
from fleetd_agent.identity import Identity, Request, is_pair
from fleetd_agent.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd_agent.signed import root_of

logger = logging.getLogger(__name__)

PATH = "/internal.agent.v1.EnrollmentService/Enroll"
TIMEOUT_SECONDS = 30.0
MAXIMUM_ANSWER_BYTES = 256 * 1024
RETRYABLE = frozenset({"unavailable", "resource_exhausted", "deadline_exceeded", "aborted"})
DEFAULT_PENDING_SECONDS = 10


@dataclass(eq=False)
class EnrollmentFailed(Exception):
    """The platform refused, or cannot be reached; `code` is stable."""

    code: str
    message: str
    retry_after: float = 0.0

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"

    @property
    def is_retryable(self) -> bool:
        """True when the same call may work later."""
        return self.code in RETRYABLE


class EnrollmentClient:
    """Calls the enrollment service of one platform."""

    def __init__(self, server: str, opener: urllib.request.OpenerDirector) -> None:
        self.server = server.rstrip("/")
        self._opener = opener
        if urllib.parse.urlsplit(self.server).scheme not in ("http", "https"):
            raise EnrollmentFailed("invalid_server", f"not a web address: {server!r}")

    def call(self, message: pb.EnrollRequest) -> pb.EnrollResponse:
        """One attempt."""
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            self.server + PATH,
            data=message.SerializeToString(),
            headers={
                "Content-Type": "application/proto",
                "Connect-Protocol-Version": "1",
                "User-Agent": "fleetd-agent",
            },
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                body = response.read(MAXIMUM_ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            raise _refusal(error) from error
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            message_text = f"{self.server} cannot be reached: {reason}"
            raise EnrollmentFailed("unavailable", message_text) from error
        try:
            return pb.EnrollResponse.FromString(body)
        except DecodeError as error:
            raise EnrollmentFailed("bad_answer", f"{self.server} is not a fleetd") from error


async def enroll(
    client: EnrollmentClient,
    request: Request,
    about: pb.EnrollRequest,
    *,
    on_pending: Callable[[int], None],
    attempts: int = 8,
) -> Identity:
    """Enrolls, waiting for approval as long as it takes; raises EnrollmentFailed."""
    about.csr_pem = request.csr_pem
    failures = 0
    while True:
        try:
            answer = await asyncio.to_thread(client.call, about)
        except EnrollmentFailed as failure:
            failures += 1
            if not failure.is_retryable or failures >= attempts:
                raise
            logger.warning("enrollment failed, trying again", extra={"why": str(failure)})
            await asyncio.sleep(failure.retry_after + full_jitter(failures))
            continue
        failures = 0
        if answer.status == pb.ENROLLMENT_STATUS_ACCEPTED:
            return _identity(client.server, request, answer)
        if answer.status != pb.ENROLLMENT_STATUS_PENDING:
            raise EnrollmentFailed("bad_answer", f"{client.server} gave no status")
        seconds = answer.retry_after_seconds or DEFAULT_PENDING_SECONDS
        on_pending(seconds)
        await asyncio.sleep(seconds)


def _identity(server: str, request: Request, answer: pb.EnrollResponse) -> Identity:
    try:
        is_ours = is_pair(request.key_pem, answer.certificate_chain_pem)
    except ValueError as error:
        raise EnrollmentFailed("bad_answer", "the certificate cannot be read") from error
    if not is_ours:
        raise EnrollmentFailed("bad_answer", "the certificate is for another key")
    return Identity(
        server=server,
        device_id=answer.device_id,
        organization_id=answer.organization_id,
        agent_address=answer.agent_address,
        root_pem=answer.root_pem,
        chain_pem=answer.certificate_chain_pem,
        key_pem=request.key_pem,
        trusted_root=_trusted_root(answer),
    )


def _trusted_root(answer: pb.EnrollResponse) -> str:
    try:
        root = answer.trusted_root
        return root_of(root, answer.organization_id) if root else ""
    except ValueError as error:
        raise EnrollmentFailed("bad_answer", str(error)) from error


def _refusal(error: urllib.error.HTTPError) -> EnrollmentFailed:
    """The error of the Connect protocol: JSON with a code of gRPC and a message."""
    with error:
        body = error.read(MAXIMUM_ANSWER_BYTES)
    try:
        data = json.loads(body)
        code, message = str(data["code"]), str(data.get("message", ""))
    except (ValueError, KeyError, TypeError):
        is_busy = error.code in (429, 502, 503, 504)
        code = "unavailable" if is_busy else "bad_answer"
        message = f"the server answered {error.code}"
    try:
        retry_after = float(error.headers.get("Retry-After", 0))
    except ValueError:
        retry_after = 0.0
    return EnrollmentFailed(code, message, retry_after)
