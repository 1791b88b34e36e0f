"""What is signed of releases, and whose a root is."""

from hashlib import sha256
from typing import Any

from securesystemslib.formats import encode_canonical
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

# What fleetd adds to a root: whose it is, and with which keys instructions are signed.
EXTENSION = "x-fleetd"


def describe(message: dict[str, Any]) -> str:
    """SHA-256 of what an offer tells of a component, in canonical JSON, but for where it lies.

    `message` is the component in proto's JSON with the names of the proto. What is empty or zero
    is left out at every depth; a field that this agent does not know yet cannot be in it, so such
    an offer is refused.
    """
    left_out = ("url", "target_path")
    kept = {name: value for name, value in message.items() if name not in left_out}
    return sha256(str(encode_canonical(_pruned(kept))).encode()).hexdigest()


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        pruned = {name: _pruned(item) for name, item in value.items()}
        return {name: item for name, item in pruned.items() if item}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def root_of(text: str, organization_id: str) -> str:
    """The text of a root that belongs to this organization and is signed by its own keys.

    Raises ValueError for anything else.
    """
    try:
        root: Any = Metadata.from_bytes(text.encode())
        root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
        owner = root.signed.unrecognized_fields[EXTENSION]["organization_id"]
    except (RepositoryError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no root of a TUF repository: {error}") from error
    if not isinstance(root.signed, Root) or owner != organization_id:
        raise ValueError("this root belongs to another organization")
    return text
