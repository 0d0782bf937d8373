"""Invoices: the list, the page of one, its actions, actions on many, and what to do after a decline."""
