"""What happened, published through an outbox to subscribers, streams and the UI."""
