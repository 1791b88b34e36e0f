"""The RPC doors: Connect and gRPC-Web on the web port, gRPC on ports of its own."""
