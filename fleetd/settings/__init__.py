"""Settings come from the environment only; `registry` lists every name."""
