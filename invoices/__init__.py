"""The product: a mirror of Stripe's invoices, a journal, and the actions that people take on them."""
