"""The only table of core: what `install_guards` has installed already."""

from typing import ClassVar

from django.db import models


class InstalledGuard(models.Model):
    """One guard of one tenant table, and the digest of the statements that made it."""

    table_name = models.CharField(max_length=63)
    guard_name = models.CharField(max_length=63)
    digest = models.CharField(max_length=64)

    class Meta:
        db_table = "core_installed_guard"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["table_name", "guard_name"], name="core_installed_guard_name"
            )
        ]

    def __str__(self) -> str:
        return f"{self.table_name}: {self.guard_name}"
