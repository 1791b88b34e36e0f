"""RPC of artifacts, releases, rollouts and deployments."""
