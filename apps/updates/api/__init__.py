"""REST of artifacts, releases, rollouts and deployments."""
