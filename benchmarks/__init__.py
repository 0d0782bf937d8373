"""Benchmarks. Each module measures one thing and prints the figures; `make bench` runs them all."""
