"""What the RPC doors count."""

from prometheus_client import Counter, Histogram

REQUESTS = Counter(
    "fleetd_rpc_requests", "RPCs that ended, by their outcome", ["method", "door", "code"]
)
SECONDS = Histogram(
    "fleetd_rpc_seconds",
    "How long an RPC took, streams included",
    ["method", "door"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30, 300),
)
