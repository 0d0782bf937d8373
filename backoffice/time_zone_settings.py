"""Reads a time zone from the environment."""

from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured


def time_zone(variable: str, name: str) -> str:
    """The name, if there is such a time zone. `variable` is for the message. Raises ImproperlyConfigured."""
    try:
        return ZoneInfo(name).key
    except (ValueError, KeyError, OSError) as error:  # an unknown name, or one that looks like a path
        raise ImproperlyConfigured(f"{variable}: “{name}” is no time zone. Write one like Europe/Berlin.") from error
