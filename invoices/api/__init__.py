"""Stripe's API shape over the mirror, and the actions: thin views. Any Stripe SDK can be pointed at it."""
