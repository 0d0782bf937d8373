"""Searching the mirror in Stripe's query language, for the API and for the admin."""

from invoices.search.conditions import CUSTOMERS, INVOICES, Resource, looks_like_query
from invoices.search.language import Clause, Query, QueryError, parse
from invoices.search.pages import SearchOrder, count, read
from invoices.search.rows import matching, of_domain, with_words
from invoices.search.time_limit import TakesTooLong, time_limit

__all__ = [
    "CUSTOMERS",
    "INVOICES",
    "Clause",
    "Query",
    "QueryError",
    "Resource",
    "SearchOrder",
    "TakesTooLong",
    "count",
    "looks_like_query",
    "matching",
    "of_domain",
    "parse",
    "read",
    "time_limit",
    "with_words",
]
