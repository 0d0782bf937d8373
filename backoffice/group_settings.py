"""Reads from text which group of the identity provider is which of our groups."""

from django.core.exceptions import ImproperlyConfigured

SERVICE_GROUP = "Service"  # as in invoices/operations/requesters.py, which needs the settings to be loaded


def group_map(pairs: list[str]) -> dict[str, str]:
    """`desk-agents=Support agent` → the provider's group and ours. Raises ImproperlyConfigured."""
    found: dict[str, str] = {}
    for pair in pairs:
        theirs, separator, ours = (part.strip() for part in pair.partition("="))
        if not (theirs and separator and ours):
            raise ImproperlyConfigured(f"OIDC_GROUPS holds pairs like desk-agents=Support agent, not “{pair}”.")
        if ours == SERVICE_GROUP:
            raise ImproperlyConfigured("OIDC_GROUPS gives no person the group Service: its members cannot sign in.")
        found[theirs] = ours
    return found
