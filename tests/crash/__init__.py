"""Kills the performing process at every point where it can die, under every answer that Stripe can give."""
