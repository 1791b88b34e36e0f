"""The numbers of a gateway, in one place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """How patient, how fast and how big a gateway is. Seconds unless the name says otherwise."""

    heartbeat_seconds: int = 20
    heartbeat_jitter_ratio: float = 0.1
    hello_seconds: float = 10.0
    flush_seconds: float = 0.25
    flush_rows: int = 5000
    announce_seconds: float = 0.05
    hint_seconds: float = 1.0
    hint_devices: int = 200
    # Messages that one device may send on average, and at once; then it is read more slowly.
    messages_per_second: float = 20.0
    message_burst: int = 200
    outgoing_messages: int = 256
    commit_linger_seconds: float = 0.01
    commit_messages: int = 500
    waiting_messages: int = 10_000
    close_linger_seconds: float = 0.2
    claim_seconds: float = 5.0
    claim_linger_seconds: float = 0.02
    claim_devices: int = 1000
    link_refresh_seconds: float = 600.0
    recheck_seconds: float = 5.0
    admissions: int = 512
    retry_seconds: float = 5.0
    # A stop tells devices to come back within this many seconds for each thousand of them.
    drain_seconds_per_thousand: int = 5
    drain_seconds: float = 6.0
