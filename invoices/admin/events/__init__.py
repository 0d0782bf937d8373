"""Events: what Stripe told us, and replaying those that failed."""
