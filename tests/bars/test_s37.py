"""S37: an organization's updates can be had with any TUF client.

Given the update repository of an organization, when a stock python-tuf `ngclient.Updater` refreshes
and downloads, then it succeeds over plain HTTP and through the REST endpoint. The keys are made and
used with `fleetctl sign`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from apps.core.ids import uuid7
from apps.core.tenancy import tenant
from apps.updates.services.rollouts import cancel_rollout
from tests.bars.signing_server import CONTENT, Customer, customer

__all__ = ["customer"]


class WithKey(FetcherInterface):
    """python-tuf's own way to bring a credential."""

    def __init__(self, key: str) -> None:
        self._http = httpx.Client(headers={"Authorization": f"Bearer {key}"})

    def _fetch(self, url: str) -> Iterator[bytes]:
        response = self._http.get(url)
        if response.status_code != 200:
            raise DownloadHTTPError(url, response.status_code)
        return iter([response.content])


def test_s37_an_unmodified_client_refreshes_and_downloads(customer: Customer) -> None:
    assert customer.sign("init") == 0
    root = (customer.keys / "root.json").read_bytes()
    assert all(oct(p.stat().st_mode & 0o777) == "0o600" for p in customer.keys.glob("*.pem"))
    offer = customer.offer()
    path = offer.components[0].target_path
    plain = f"{customer.server.url}/tuf/{customer.acme.id}/metadata/"
    rest = f"{customer.server.url}/api/v1/signing"
    clients = (
        customer.client(root, plain, customer.targets_url(offer)),
        customer.client(
            root, f"{rest}/metadata/", f"{rest}/targets/", fetcher=WithKey(customer.key)
        ),
    )
    for client in clients:
        client.refresh()
        info = client.get_targetinfo(path)
        assert info is not None
        assert Path(client.download_target(info)).read_bytes() == CONTENT + b"1.0.0"
    _only_for_whom_it_is_meant(customer, offer, plain)
    _follows_new_keys(customer, root, plain)


def _only_for_whom_it_is_meant(customer: Customer, offer: object, plain: str) -> None:
    """Metadata is public; files need their deployment's link, and nobody learns who is here."""
    base = customer.targets_url(offer)  # type: ignore[arg-type]
    part = offer.components[0]  # type: ignore[attr-defined]
    file = f"hello/1.0.0/{part.sha256}.hello"
    assert httpx.get(base + file, headers={"Range": "bytes=0-3"}).content == CONTENT[:4]
    assert httpx.head(base + file).status_code == 200
    assert httpx.get(f"{base}hello/1.0.0/{'0' * 64}.hello").status_code == 404
    tampered = base[:-2] + ("0/" if base[-2] != "0" else "1/")
    assert httpx.get(tampered + file).status_code == 403
    moved = base.replace(str(customer.acme.id), str(uuid7()))
    assert httpx.get(moved + file).status_code == 403
    unknown = plain.replace(str(customer.acme.id), str(uuid7()))
    answers = [httpx.get(f"{each}{name}") for each, name in (
        (plain, "9.root.json"), (unknown, "1.root.json"), (plain, "..%2f1.root.json"),
        (plain, "1.other.json"),
    )]  # fmt: skip
    assert {answer.status_code for answer in answers} == {404}
    bodies = [{**a.json(), "request_id": "", "instance": ""} for a in answers[:2]]
    assert bodies[0] == bodies[1]
    with tenant(customer.acme.id):
        cancel_rollout(customer.alice, offer.rollout_id)  # type: ignore[attr-defined]
    assert httpx.get(base + file).status_code == 404


def _follows_new_keys(customer: Customer, root: bytes, plain: str) -> None:
    more = ("--new-root-keys", "2", "--root-threshold", "2", "--new-targets-keys", "1")
    assert customer.sign("rotate", *more, "--targets-threshold", "2", "--yes") == 0
    assert customer.sign("renew") == 0
    customer.client(root, plain, plain).refresh()
    (customer.keys / "targets-2.pem").unlink()
    assert customer.sign("renew") == 2
    held = (customer.keys / "root.json").read_bytes()
    assert customer.sign("rotate", "--new-online-keys", "--yes") == 0
    assert (customer.keys / "root.json").read_bytes() != held
    customer.client(root, plain, plain).refresh()


def test_s39_a_process_that_served_it_all_never_held_a_private_half(customer: Customer) -> None:
    """S39, the memory of a web process: what it was sent is there, what signed it is not."""
    from fleetctl.sign.keys import load_key
    from tests.bars.signing_server import PASSPHRASE

    assert customer.sign("init") == 0
    customer.offer()
    assert customer.server.process is not None
    memory = _memory_of(customer.server.process.pid)
    for name in ("root-1.pem", "targets-1.pem"):
        key = load_key(customer.keys / name, PASSPHRASE)
        raw = key.private.private_bytes_raw()
        public = str(key.public.keyval["public"]).encode()
        assert any(public in part for part in memory)
        assert not any(raw in part or raw.hex().encode() in part for part in memory)


def _memory_of(process: int) -> list[bytes]:
    """Everything that a process can write to."""
    parts = []
    lines = Path(f"/proc/{process}/maps").read_text().splitlines()
    try:
        file = os.open(f"/proc/{process}/mem", os.O_RDONLY)
    except PermissionError:
        pytest.skip("the memory of processes cannot be read here")
    for line in lines:
        span, flags = line.split()[:2]
        first, last = (int(part, 16) for part in span.split("-"))
        if flags.startswith("rw") and last - first < 1 << 30:
            try:
                parts.append(os.pread(file, last - first, first))
            except OSError:
                continue
    os.close(file)
    return parts
