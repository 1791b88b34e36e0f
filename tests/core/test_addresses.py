"""The caller's address: the socket's, unless trusted proxies say otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.addresses import client_address, is_private_peer, limit_key

GARBAGE = [
    "a",
    "",
    ",",
    "x" * 10_000,
    "1.2.3.4," * 2_000 + "z",
    "fe80::1%eth0",
    "fe80::1%25eth0",
    "999.1.1.1",
    "1.2.3.4.5",
    "127.1",
    "0x7f000001",
    "[::1",
    "unknown",
    "_hidden",
    "1.2.3.4\r\nX: y",
    "１.2.3.4",
    "<script>",
]


@pytest.mark.parametrize("sent", ["203.0.113.9", *GARBAGE])
def test_without_proxies_nothing_that_is_sent_counts(settings, sent):
    settings.TRUSTED_PROXIES = 0
    assert client_address("192.0.2.1", [sent]) == "192.0.2.1"


@pytest.mark.parametrize("sent", GARBAGE)
def test_behind_a_proxy_garbage_changes_nothing(settings, sent):
    settings.TRUSTED_PROXIES = 1
    assert client_address("192.0.2.1", [sent]) == "192.0.2.1"


@pytest.mark.parametrize(
    ("trusted", "lines", "expected"),
    [
        (1, ["203.0.113.9"], "203.0.113.9"),
        (1, ["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        (2, ["6.6.6.6, 203.0.113.9, 10.0.0.1"], "203.0.113.9"),
        (2, ["6.6.6.6", "203.0.113.9", "10.0.0.1"], "203.0.113.9"),
        (2, ["203.0.113.9"], "192.0.2.1"),  # came round the outer proxy
        (1, ["2001:db8::1"], "2001:db8::1"),
        (1, ["[2001:DB8:0::1]:443"], "2001:db8::1"),
        (1, ["203.0.113.9:51234"], "203.0.113.9"),
        (1, ["::ffff:203.0.113.9"], "203.0.113.9"),
        (1, [], "192.0.2.1"),
    ],
)
def test_the_nth_from_the_right_counts(settings, trusted, lines, expected):
    settings.TRUSTED_PROXIES = trusted
    assert client_address("192.0.2.1", lines) == expected


@given(sent=st.lists(st.text(max_size=40), max_size=4))
def test_whatever_is_sent_the_answer_is_an_address(sent):
    from ipaddress import ip_address

    assert ip_address(client_address("192.0.2.1", sent))


def test_a_socket_without_an_address_has_none():
    assert client_address(None) is None
    assert client_address("") is None
    assert client_address("fe80::1%eth0") == "fe80::1"


def test_a_whole_ipv6_network_is_one_caller():
    assert limit_key("2001:db8:1:2::1") == limit_key("2001:db8:1:2:ffff::9")
    assert limit_key("2001:db8:1:2::1") != limit_key("2001:db8:1:3::1")
    assert limit_key("192.0.2.1") == "192.0.2.1"
    assert limit_key(None) == limit_key("garbage") == "unknown"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("192.168.0.4", True),
        ("fd00::1", True),
        ("8.8.8.8", False),
        ("0.0.0.0", False),
        (None, False),
        ("x", False),
    ],
)
def test_private_peers(address, expected):
    assert is_private_peer(address) is expected
