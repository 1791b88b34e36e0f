"""Artifacts, releases, rollouts and deployments: the update engine."""
