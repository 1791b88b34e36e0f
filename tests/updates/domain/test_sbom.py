"""Reading bills of materials, whatever they hold."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.updates.domain import sbom
from apps.updates.domain.sbom import BadSbom, Package, read_sbom

OPENSSL = Package("openssl", "3.0.2", "pkg:deb/ubuntu/openssl@3.0.2")
CYCLONEDX = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "components": [
        {
            "type": "library",
            "name": "libcurl",
            "version": "8.1",
            "components": [{"name": "openssl", "version": "3.0.2", "purl": OPENSSL.purl}],
        },
        {"name": "openssl", "version": "3.0.2", "purl": OPENSSL.purl},
    ],
}
SPDX = {
    "spdxVersion": "SPDX-2.3",
    "packages": [
        {
            "name": "openssl",
            "versionInfo": "3.0.2",
            "externalRefs": [
                {"referenceType": "cpe23Type", "referenceLocator": "cpe:2.3:…"},
                {"referenceType": "purl", "referenceLocator": OPENSSL.purl},
            ],
        }
    ],
}


def test_nested_components_are_read_and_counted_once() -> None:
    found = read_sbom(CYCLONEDX)
    assert (found.format, found.packages) == ("cyclonedx", (Package("libcurl", "8.1", ""), OPENSSL))


def test_packages_of_spdx_are_read() -> None:
    found = read_sbom(SPDX)
    assert (found.format, found.packages) == ("spdx", (OPENSSL,))


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "CycloneDX",
        {},
        {"bomFormat": "CycloneDX"},
        {"bomFormat": "CycloneDX", "components": {}},
        {"bomFormat": "CycloneDX", "components": ["openssl"]},
        {"bomFormat": "CycloneDX", "components": [{"name": ""}]},
        {"bomFormat": "CycloneDX", "components": [{"name": "a", "components": "b"}]},
        {"spdxVersion": "SPDX-3.0", "packages": [{"name": "a"}]},
        {"spdxVersion": 2, "packages": [{"name": "a"}]},
        {"spdxVersion": "SPDX-2.3", "packages": [{"name": 7}]},
    ],
)
def test_what_is_no_bill_of_materials_is_refused(document: Any) -> None:
    with pytest.raises(BadSbom):
        read_sbom(document)


def test_too_many_packages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sbom, "MAX_PACKAGES", 2)
    parts = [{"name": f"p{n}"} for n in range(3)]
    with pytest.raises(BadSbom):
        read_sbom({"bomFormat": "CycloneDX", "components": parts})


def test_what_cannot_be_stored_or_shown_is_left_out_of_texts() -> None:
    part = {"name": "a\0\x1b[31mb" + "x" * 999, "version": ["3"], "purl": "p" * 9999}
    (found,) = read_sbom({"bomFormat": "CycloneDX", "components": [part]}).packages
    assert found.name.startswith("a[31mbxx")
    assert (len(found.name), found.version, len(found.purl)) == (200, "", 500)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "version", "components", "packages", "externalRefs", "x"]),
            inner,
        )
    ),
    max_leaves=10,
)


@given(st.sampled_from(["bomFormat", "spdxVersion"]), values, values)
def test_any_document_is_read_or_refused(kind: str, components: Any, packages: Any) -> None:
    marks = {"bomFormat": "CycloneDX", "spdxVersion": "SPDX-2.2"}
    document = {kind: marks[kind], "components": components, "packages": packages}
    try:
        assert read_sbom(document).packages
    except BadSbom:
        pass
