"""The updates app's Django configuration."""

from importlib import import_module

from django.apps import AppConfig

from apps.core.sealing import sealed_column


class UpdatesConfig(AppConfig):
    """Artifacts, releases, rollouts and deployments."""

    name = "apps.updates"

    def ready(self) -> None:
        """Registers tasks and subscribers."""
        for module in ("tasks", "subscribers"):
            import_module(f"{self.name}.{module}")
        quotas = import_module("apps.organizations.services.quotas")
        artifacts = import_module("apps.updates.selectors.artifacts")
        quotas.register_meter("storage_bytes", artifacts.count_stored_bytes)
        devices = import_module("apps.devices.services.devices")
        holds = import_module("apps.updates.services.holds")
        devices.on_release(holds.release_failing_device)
        enroll = import_module("apps.enrollment.services.enroll")
        signing = import_module("apps.updates.selectors.signing")
        enroll.register_trusted_root(signing.find_trusted_root)
        for name in ("snapshot", "timestamp", "instruction"):
            purpose = f"updates.signing.{name}"
            sealed_column("updates.SigningRepository", f"{name}_key", purpose=purpose)
        for name in ("snapshot", "timestamp"):
            purpose = f"updates.signing.{name}"
            sealed_column("updates.SigningRepository", f"next_{name}_key", purpose=purpose)
