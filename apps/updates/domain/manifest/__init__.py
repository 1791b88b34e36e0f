"""The declarative manifest: a rollout as one text, read with line and column, and written back."""

from apps.updates.domain.manifest.manifest import Manifest as Manifest
from apps.updates.domain.manifest.manifest import NewRelease as NewRelease
from apps.updates.domain.manifest.manifest import Part as Part
from apps.updates.domain.manifest.manifest import ReleaseName as ReleaseName
from apps.updates.domain.manifest.manifest import Requirement as Requirement
from apps.updates.domain.manifest.manifest import Selection as Selection
from apps.updates.domain.manifest.parsing import parse_manifest as parse_manifest
from apps.updates.domain.manifest.problems import ManifestErrors as ManifestErrors
from apps.updates.domain.manifest.problems import Place as Place
from apps.updates.domain.manifest.problems import Problem as Problem
from apps.updates.domain.manifest.writing import write_manifest as write_manifest
