"""Real time: the one WebSocket of a tab."""
