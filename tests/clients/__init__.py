"""Clients of other makes and ages, each in an environment of its own, in one scenario at Stripe and at the desk."""
