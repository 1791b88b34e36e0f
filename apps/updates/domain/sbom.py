"""What a software bill of materials names: CycloneDX and SPDX, in JSON.

CycloneDX 1.2 and later (ECMA-424): `components`, nested to any depth. SPDX 2.2 and 2.3
(ISO/IEC 5962): `packages`, with package URLs among their external references.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_PACKAGES = 20_000
MAX_NAME, MAX_VERSION, MAX_PURL = 200, 100, 500


class BadSbom(ValueError):
    """A document that is no bill of materials, or too large a one."""


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One piece of software; `version` and `purl` are empty where the document does not say."""

    name: str
    version: str
    purl: str


@dataclass(frozen=True, slots=True)
class Sbom:
    """A document's kind, and every package once, in order."""

    format: str
    packages: tuple[Package, ...]


def read_sbom(document: Any) -> Sbom:
    """The packages of a parsed document. Raises `BadSbom`, whatever the document is."""
    if not isinstance(document, Mapping):
        raise BadSbom("A bill of materials is a JSON object.")
    if document.get("bomFormat") == "CycloneDX":
        return Sbom("cyclonedx", _bounded(_cyclonedx(document)))
    version = document.get("spdxVersion")
    if isinstance(version, str) and version.startswith("SPDX-2."):
        return Sbom("spdx", _bounded(_spdx(document)))
    raise BadSbom("It is neither CycloneDX nor SPDX 2, in JSON.")


def _bounded(found: Iterator[Package]) -> tuple[Package, ...]:
    packages = set()
    for number, package in enumerate(found):
        if number >= MAX_PACKAGES:
            raise BadSbom(f"A bill of materials has at most {MAX_PACKAGES} packages.")
        packages.add(package)
    if not packages:
        raise BadSbom("It names no package.")
    return tuple(sorted(packages))


def _cyclonedx(document: Mapping[str, Any]) -> Iterator[Package]:
    waiting = [_list(document, "components")]
    while waiting:
        for part in waiting.pop():
            if not isinstance(part, Mapping):
                raise BadSbom("A component is an object.")
            yield _package(part.get("name"), part.get("version"), part.get("purl"))
            nested = _list(part, "components")
            if nested:
                waiting.append(nested)


def _spdx(document: Mapping[str, Any]) -> Iterator[Package]:
    for part in _list(document, "packages"):
        if not isinstance(part, Mapping):
            raise BadSbom("A package is an object.")
        yield _package(part.get("name"), part.get("versionInfo"), _purl_of(part))


def _purl_of(part: Mapping[str, Any]) -> Any:
    for reference in _list(part, "externalRefs"):
        if isinstance(reference, Mapping) and reference.get("referenceType") == "purl":
            return reference.get("referenceLocator")
    return ""


def _package(name: Any, version: Any, purl: Any) -> Package:
    if not isinstance(name, str) or not name.strip():
        raise BadSbom("Every package has a name.")
    return Package(_text(name, MAX_NAME), _text(version, MAX_VERSION), _text(purl, MAX_PURL))


def _text(value: Any, limit: int) -> str:
    """What can be stored and shown of a text; anything else is none."""
    if not isinstance(value, str):
        return ""
    return "".join(c for c in value[: limit * 2] if c.isprintable()).strip()[:limit]


def _list(part: Mapping[str, Any], name: str) -> list[Any]:
    found = part.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise BadSbom(f"{name} is a list.")
    return found
