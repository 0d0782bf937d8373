"""Kills the performing process at every point where it can die, under every answer that Stripe can give; takes the
authority to act away there; and puts the database back to what it was there."""
