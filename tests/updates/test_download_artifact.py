"""Downloads by signed link: whole, resumed, and by nobody else."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.test import AsyncClient
from hypothesis import given
from hypothesis import strategies as st

from apps.core.actors import Actor, Source, system_actor
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.devices.services.devices import quarantine_device, release_device
from apps.updates.domain.ranges import NotSatisfiable, is_same, parse_range
from apps.updates.selectors.artifacts import list_artifacts
from apps.updates.selectors.deployments import list_deployments
from apps.updates.selectors.releases import get_release
from apps.updates.services.artifacts import CHUNK_BYTES
from apps.updates.services.links import make_link
from apps.updates.services.offers import claim_deployments, offers_for_devices
from apps.updates.services.rollouts import cancel_rollout, start_rollout
from apps.updates.types import Offer
from tests.factories import Cast
from tests.updates.conftest import file_path, make_release, make_rollout

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = bytes(range(256)) * 5000  # more than one chunk


@pytest.fixture
def offer(acme: Cast, alice: Actor) -> Offer:
    """What the first device of acme is offered; committed, as the door sees it."""
    with tenant(acme.id):
        release = make_release(alice, content=CONTENT)
        start_rollout(alice, make_rollout(alice, release).id)
        return claim_deployments(platform(acme), [acme.device.id])[0]


def platform(cast: Cast) -> Actor:
    return system_actor(cast.id, source=Source.AGENT)


def path_of(offer: Offer) -> str:
    """The link of the offer, as the device asks for it on the web port."""
    parts = urlsplit(offer.components[0].url)
    return f"{parts.path}?{parts.query}"


@async_to_sync
async def fetch(path: str, method: str = "GET", **headers: str) -> tuple[int, dict, bytes]:
    response = await AsyncClient().generic(method, path, headers=headers)
    if response.streaming:
        body = b"".join([chunk async for chunk in response.streaming_content])
    else:
        body = response.content
    return response.status_code, dict(response.headers), body


def test_the_whole_file_comes_with_its_digest_as_tag(offer: Offer) -> None:
    assert len(CONTENT) > CHUNK_BYTES
    status, headers, body = fetch(path_of(offer))
    assert (status, body) == (200, CONTENT)
    assert headers["ETag"] == f'"{offer.components[0].sha256}"'
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Length"] == str(len(CONTENT))


def test_head_tells_the_size_and_sends_nothing(offer: Offer) -> None:
    status, headers, body = fetch(path_of(offer), "HEAD", range="bytes=0-9")
    assert (status, headers["Content-Length"], body) == (200, str(len(CONTENT)), b"")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-0", CONTENT[:1]),
        ("bytes=100-199", CONTENT[100:200]),
        ("bytes=1000000-", CONTENT[1_000_000:]),
        ("bytes=-7", CONTENT[-7:]),
        ("bytes=5-999999999999", CONTENT[5:]),
    ],
)
def test_one_range_comes_byte_for_byte(offer: Offer, asked: str, expected: bytes) -> None:
    status, headers, body = fetch(path_of(offer), range=asked)
    assert (status, body) == (206, expected)
    first = int(headers["Content-Range"].removeprefix("bytes ").split("-")[0])
    assert CONTENT[first : first + len(body)] == body
    assert headers["Content-Range"].endswith(f"/{len(CONTENT)}")


@pytest.mark.parametrize("asked", ["bytes=100-10", "bytes=99999999-", "bytes=-0"])
def test_bytes_that_are_not_there_answer_416(offer: Offer, asked: str) -> None:
    status, headers, _ = fetch(path_of(offer), range=asked)
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")


@pytest.mark.parametrize("asked", ["lines=1-2", "bytes=0-1,5-6", "bytes=", "bytes=x-y", "nonsense"])
def test_ranges_that_we_do_not_know_answer_the_whole_file(offer: Offer, asked: str) -> None:
    status, _, body = fetch(path_of(offer), range=asked)
    assert (status, body) == (200, CONTENT)


def test_a_resumed_download_of_changed_content_begins_anew(offer: Offer) -> None:
    tag = f'"{offer.components[0].sha256}"'
    again = fetch(path_of(offer), **{"range": "bytes=10-", "if-range": tag})
    assert (again[0], again[2]) == (206, CONTENT[10:])
    for other in ('"other"', f"W/{tag}", "Mon, 23 Nov 2026 12:00:00 GMT"):
        status, _, body = fetch(path_of(offer), **{"range": "bytes=10-", "if-range": other})
        assert (status, body) == (200, CONTENT)


def test_content_that_the_client_has_is_not_sent_again(offer: Offer) -> None:
    tag = f'"{offer.components[0].sha256}"'
    status, _, body = fetch(path_of(offer), **{"if-none-match": f'"x", {tag}'})
    assert (status, body) == (304, b"")


def test_forged_links_are_refused(offer: Offer, acme: Cast, globex: Cast) -> None:
    good = path_of(offer)
    query = parse_qs(urlsplit(good).query)
    expires, signature = query["expires"][0], query["signature"][0]
    forged = [
        good.replace(signature, "0" * 64),
        good.replace(expires, str(int(expires) + 1)),
        good.replace(str(acme.id), str(globex.id)),
        good.replace(str(offer.deployment_id), str(uuid4())),
        good.replace(offer.components[0].sha256, "0" * 64),
        good.split("?")[0],
        good.replace(f"expires={expires}", "expires=9999999999999999999"),
        good.replace(f"expires={expires}", "expires=%00"),
        good.replace(signature, "%F0%9F%92%A9%00"),
    ]
    for path in forged:
        status, _, body = fetch(path)
        assert (status, b'"code":"link_invalid"' in body) == (403, True)


def test_an_expired_link_is_refused(offer: Offer) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=1, seconds=1), tick=False):
        status, _, body = fetch(path_of(offer))
    assert (status, b'"code":"link_expired"' in body) == (403, True)


def test_after_the_rollout_was_cancelled_the_link_is_dead(
    offer: Offer, acme: Cast, alice: Actor
) -> None:
    with tenant(acme.id):
        cancel_rollout(alice, offer.rollout_id)
    assert fetch(path_of(offer))[0] == 404


def test_a_device_in_quarantine_gets_neither_bytes_nor_links_until_it_is_released(
    offer: Offer, acme: Cast, alice: Actor
) -> None:
    """A device that was stolen has links, and asks for new ones."""
    with tenant(acme.id):
        quarantine_device(alice, offer.device_id, reason="It was stolen.")
    assert fetch(path_of(offer))[0] == 404
    with tenant(acme.id):
        assert offers_for_devices(platform(acme), [offer.device_id]) == []
        release_device(alice, offer.device_id)
        assert len(offers_for_devices(platform(acme), [offer.device_id])) == 1
    assert fetch(path_of(offer))[0] == 200


def test_a_link_for_a_file_of_another_release_finds_nothing(
    offer: Offer, acme: Cast, alice: Actor
) -> None:
    with tenant(acme.id):
        other = make_release(alice, "2.0.0", b"secret")
        digest = get_release(alice, other.id).components.all()[0].artifact.sha256
    link = urlsplit(make_link(platform(acme), offer.deployment_id, digest))
    assert fetch(f"{link.path}?{link.query}")[0] == 404


def test_a_device_that_has_not_been_offered_anything_finds_nothing(
    acme: Cast, alice: Actor, offer: Offer
) -> None:
    with tenant(acme.id):
        waiting = list_deployments(alice, PageRequest(), state="waiting").items[0]
    link = urlsplit(make_link(platform(acme), waiting.id, offer.components[0].sha256))
    assert fetch(f"{link.path}?{link.query}")[0] == 404


def test_a_lost_file_is_not_found(offer: Offer, acme: Cast, alice: Actor) -> None:
    with tenant(acme.id):
        for artifact in list_artifacts(alice, PageRequest()).items:
            file_path(artifact).unlink()
    assert fetch(path_of(offer))[0] == 404


def test_only_get_and_head_are_answered(offer: Offer) -> None:
    assert fetch(path_of(offer), "DELETE")[0] == 405


@given(st.text(max_size=30), st.integers(0, 2000))
def test_any_header_gives_a_range_within_the_file_or_none(header: str, size: int) -> None:
    for text in (header, f"bytes={header}"):
        try:
            part = parse_range(text, size)
        except NotSatisfiable:
            continue
        assert part is None or 0 <= part.first <= part.last < size


@given(st.integers(0, 500), st.integers(0, 500), st.binary(min_size=1, max_size=400))
def test_a_range_is_the_slice_that_it_names(first: int, last: int, content: bytes) -> None:
    try:
        part = parse_range(f"bytes={first}-{last}", len(content))
    except NotSatisfiable:
        assert last < first or first >= len(content)
        return
    assert part is not None
    assert content[part.first : part.last + 1] == content[first : last + 1]
    assert part.length == len(content[first : last + 1])


def test_if_range_wants_the_same_strong_tag() -> None:
    assert is_same("", '"a"')
    assert is_same(' "a" ', '"a"')
    assert not is_same('W/"a"', '"a"')
