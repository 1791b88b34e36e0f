"""A gateway under load: the servers, the fleet and the load generator of its benchmarks."""
