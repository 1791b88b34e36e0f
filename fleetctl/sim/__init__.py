"""Simulated devices: the real agent's engine and connection on fake hardware."""
