"""Secrets at rest: sealed for one purpose, with a key that can be changed."""

import base64

import pytest
from django.conf import settings

from apps.core.sealing import CannotUnseal, NoSealingKey, is_current, seal, unseal
from fleetd.settings.sealing_keys import (
    KeyRing,
    KeysUnreadable,
    keys_weakness,
    new_key,
    read_keys,
    write_keys,
)


def test_what_was_sealed_opens_again_for_the_same_purpose_only():
    text = seal(b"\x00secret", purpose="accounts.totp")
    assert unseal(text, purpose="accounts.totp") == b"\x00secret"
    with pytest.raises(CannotUnseal):
        unseal(text, purpose="accounts.signing_key")


def test_the_same_secret_never_looks_the_same():
    assert len({seal(b"x", purpose="p") for _ in range(50)}) == 50


@pytest.mark.parametrize("place", [3, -2])
def test_a_changed_text_does_not_open(place):
    text = seal(b"secret", purpose="p")
    other = "A" if text[place] != "A" else "B"
    changed = text[:place] + other + text[place:][1:] if place > 0 else text[:-2] + other + text[-1]
    with pytest.raises(CannotUnseal):
        unseal(changed, purpose="p")


@pytest.mark.parametrize("text", ["", "v1", "v1..", "v2.a.AAAA", "v1.a.", "v1.a.AA AA", "plain"])
def test_what_is_no_sealed_text_does_not_open(text):
    with pytest.raises(CannotUnseal):
        unseal(text, purpose="p")


def test_the_key_id_cannot_be_exchanged(settings):
    first, second = new_key(), new_key()
    settings.ENCRYPTION_KEYS = KeyRing(write_keys((first, second)))
    text = seal(b"secret", purpose="p")
    with pytest.raises(CannotUnseal):
        unseal(text.replace(first.id, second.id), purpose="p")


def test_an_old_key_opens_until_it_is_removed(settings):
    old, new = new_key(), new_key()
    settings.ENCRYPTION_KEYS = KeyRing(write_keys((old,)))
    text = seal(b"secret", purpose="p")
    settings.ENCRYPTION_KEYS = KeyRing(write_keys((new, old)))
    assert unseal(text, purpose="p") == b"secret"
    assert not is_current(text)
    settings.ENCRYPTION_KEYS = KeyRing(write_keys((new,)))
    with pytest.raises(CannotUnseal, match=old.id):
        unseal(text, purpose="p")


def test_a_new_key_in_the_file_is_known_at_once_where_a_text_names_it(settings, tmp_path):
    """Another process may seal with it before this one would have looked again."""
    old, new = new_key(), new_key()
    path = tmp_path / "keys"
    path.write_text(write_keys((old,)))
    here, elsewhere = KeyRing(path=path), KeyRing(write_keys((new, old)))
    settings.ENCRYPTION_KEYS = here
    seal(b"warm", purpose="p")
    path.write_text(write_keys((new, old)))
    settings.ENCRYPTION_KEYS = elsewhere
    text = seal(b"secret", purpose="p")
    settings.ENCRYPTION_KEYS = here
    assert unseal(text, purpose="p") == b"secret"


def test_a_file_that_breaks_does_not_take_the_known_keys_away(tmp_path):
    path = tmp_path / "keys"
    path.write_text(write_keys((new_key(),)))
    ring = KeyRing(path=path)
    known = ring.keys()
    for broken in ("nonsense", ""):
        path.write_text(broken)
        assert ring.keys(at_once=True) == known
    path.unlink()
    assert ring.keys(at_once=True) == known


def test_without_a_key_nothing_is_sealed(settings):
    settings.ENCRYPTION_KEYS = KeyRing()
    with pytest.raises(NoSealingKey):
        seal(b"secret", purpose="p")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "is missing"),
        (" , ", "is missing"),
        ("changeme", "is no list"),
        ("a:" + base64.b64encode(bytes(range(16))).decode(), "32 bytes"),
        ("a:" + base64.b64encode(b"A" * 32).decode(), "not random"),
        ("a:!!!", "not base64"),
        ("a b:" + base64.b64encode(bytes(range(32))).decode(), "is no list"),
    ],
)
def test_weak_keys_are_named_without_repeating_them(text, reason):
    found = keys_weakness(text)
    assert found is not None
    assert reason in found


def test_two_keys_of_one_name_are_refused():
    key = new_key()
    with pytest.raises(KeysUnreadable, match="same id"):
        read_keys(write_keys((key, key)))


def test_a_key_never_shows_itself():
    key = new_key()
    assert base64.b64encode(key.secret).decode() not in repr(key)
    assert repr(key.secret) not in repr(key)


def test_this_installation_has_a_strong_key():
    assert keys_weakness(write_keys(settings.ENCRYPTION_KEYS.keys())) is None
