"""Secrets of the settings: each comes from its variable X, or from the file that X_FILE names, as Docker and Kubernetes
mount them."""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def secret(variable: str, default: str = "") -> str:
    """The value of the environment variable, or the content of the file that `<variable>_FILE` names, without the line
    break at its end. The default where neither is set; a variable that is set to nothing counts as not set.

    Raises ImproperlyConfigured if both are set, and if the file cannot be read, is empty or is not text. The message
    names the variable and the file, and has nothing of the content.
    """
    value, name = os.environ.get(variable, ""), os.environ.get(f"{variable}_FILE", "")
    if not name:
        return value or default
    if value:
        raise ImproperlyConfigured(f"Both {variable} and {variable}_FILE are set. Set one of them.")
    try:
        content = Path(name).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ImproperlyConfigured(
            f"{variable}_FILE names {name}, which cannot be read ({error.strerror}). Let this process's user read it."
        ) from None
    except ValueError:
        raise ImproperlyConfigured(f"{variable}_FILE names {name}, which is not text in UTF-8.") from None
    if not content.strip():
        raise ImproperlyConfigured(f"{variable}_FILE names {name}, which is empty. Write the value into it.")
    return content


def secrets_list(variable: str) -> list[str]:
    """The same for several values with commas between them."""
    return [part for part in (part.strip() for part in secret(variable).split(",")) if part]
