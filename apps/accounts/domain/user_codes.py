"""Codes that a person types: eight consonants, shown as `BCDF-GHJK` (RFC 8628, section 6.1)."""

import secrets

ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH = 8  # 34 bits: enough with few tries, short life and single use


def new_user_code() -> str:
    """A new code, as it is stored and compared."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def shown(code: str) -> str:
    """As people read it."""
    return f"{code[:4]}-{code[4:]}"


def read(text: str) -> str:
    """What somebody typed, without what does not matter; empty where it can be no code."""
    if len(text) > 40:
        return ""
    code = "".join(c for c in text.upper() if c not in " -–_.")
    return code if len(code) == LENGTH and set(code) <= set(ALPHABET) else ""
