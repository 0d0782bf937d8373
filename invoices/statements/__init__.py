"""Bank statements: read, kept, matched with invoices, and recorded as payments after a person's word."""
