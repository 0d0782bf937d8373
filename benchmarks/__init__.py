"""Measured claims, one command each: `make bench` runs them all."""
