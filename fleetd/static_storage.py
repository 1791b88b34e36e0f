"""Static files with a digest in their names, so that browsers keep them for ever."""

from typing import Any

from whitenoise.compress import Compressor
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):
    """A name that was never collected is served as it is instead of failing the page."""

    manifest_strict = False

    def create_compressor(self, **options: Any) -> Compressor:
        """gzip only: Brotli would add half a minute to the first start."""
        return Compressor(use_brotli=False, **options)
