"""Artifacts in a bucket of an S3-compatible server.

`s3://bucket/prefix?endpoint=https://minio.example&region=eu-1`. The keys come from
FLEETD_S3_ACCESS_KEY and FLEETD_S3_SECRET_KEY, or from where the AWS tools look for them.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit

from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from storages.backends.s3 import S3Storage

from apps.core.errors import Unavailable
from apps.organizations.storage import StoredFile

KNOWN = frozenset({"endpoint", "region"})
MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
CONNECT_SECONDS = 5
# Slashes in `<organization>/ab/cd/abcd…`.
DEPTH = 3
READ_SECONDS = 60


class BucketStorage(S3Storage):
    """django-storages' bucket, with puts from a file, ranges, and failures as `OSError`."""

    @property
    def _client(self) -> Any:
        return self.connection.meta.client

    def exists(self, name: str) -> bool:
        """Whether the object is there; objects appear whole."""
        try:
            with _failures(name):
                self._client.head_object(Bucket=self.bucket_name, Key=self._key(name))
        except FileNotFoundError:
            return False
        return True

    def put(self, source: Path, name: str) -> None:
        """Sends the file, in parts where it is large; the server shows it when it is complete."""
        with _failures(name):
            self._client.upload_file(str(source), self.bucket_name, self._key(name))

    def open_range(self, name: str, first: int, length: int) -> BinaryIO:
        """The server's own answer to a range, read as it comes."""
        wanted = f"bytes={first}-{first + length - 1}"
        with _failures(name):
            answer = self._client.get_object(
                Bucket=self.bucket_name, Key=self._key(name), Range=wanted
            )
        body: BinaryIO = answer["Body"]
        return body

    def delete(self, name: str) -> None:
        """Removes the object."""
        with _failures(name):
            self._client.delete_object(Bucket=self.bucket_name, Key=self._key(name))

    def list_files(self, folder: str) -> Iterator[StoredFile]:
        """The objects below the folder's name, asked for a thousand at a time."""
        pages = self._client.get_paginator("list_objects_v2")
        skipped = len(self._key(""))
        with _failures(folder):
            for page in pages.paginate(Bucket=self.bucket_name, Prefix=f"{self._key(folder)}/"):
                for each in page.get("Contents", ()):
                    name = each["Key"][skipped:]
                    if name.count("/") == DEPTH:
                        yield StoredFile(name, each["Size"], each["LastModified"].timestamp())

    def remove_all(self, folder: str) -> None:
        """Removes all objects below the folder's name, a thousand at a time."""
        pages = self._client.get_paginator("list_objects_v2")
        with _failures(folder):
            for page in pages.paginate(Bucket=self.bucket_name, Prefix=f"{self._key(folder)}/"):
                keys = [{"Key": each["Key"]} for each in page.get("Contents", ())]
                if keys:
                    self._client.delete_objects(
                        Bucket=self.bucket_name, Delete={"Objects": keys, "Quiet": True}
                    )

    def _key(self, name: str) -> str:
        return f"{self.location}/{name}" if self.location else name


def bucket_storage(url: str) -> BucketStorage:
    """The bucket that the setting names. Raises `Unavailable` for one that cannot be read."""
    parts = urlsplit(url)
    options = parse_qs(parts.query, strict_parsing=bool(parts.query))
    if not parts.hostname or set(options) - KNOWN:
        raise Unavailable("FLEETD_STORAGE_URL looks like s3://bucket/prefix?endpoint=…&region=….")
    return BucketStorage(
        bucket_name=parts.netloc,
        location=unquote(parts.path).strip("/"),
        endpoint_url=options.get("endpoint", [None])[0],
        region_name=options.get("region", [None])[0],
        access_key=settings.S3_ACCESS_KEY or None,
        secret_key=settings.S3_SECRET_KEY or None,
        client_config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"max_attempts": 3, "mode": "standard"},
            s3={"addressing_style": "path" if "endpoint" in options else "auto"},
        ),
    )


@contextmanager
def _failures(name: str) -> Iterator[None]:
    """Failures of the server as those of files."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in MISSING:
            raise FileNotFoundError(errno.ENOENT, "no such object", name) from error
        raise OSError(errno.EIO, str(error), name) from error
    except (BotoCoreError, Boto3Error) as error:
        raise OSError(errno.EIO, str(error), name) from error
