"""Searching the mirror in Stripe's query language, for the API and for the admin."""

from invoices.search.conditions import CUSTOMERS, INVOICES, Resource, looks_like_query
from invoices.search.language import Clause, Query, QueryError, parse
from invoices.search.rows import matching
from invoices.search.time_limit import TakesTooLong, time_limit

__all__ = [
    "CUSTOMERS",
    "INVOICES",
    "Clause",
    "Query",
    "QueryError",
    "Resource",
    "TakesTooLong",
    "looks_like_query",
    "matching",
    "parse",
    "time_limit",
]
