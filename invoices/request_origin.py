"""Where something came from, for the journal: an HTTP request's client and id, or who runs a command."""

import os
import pwd
import socket
from typing import Any, TypedDict

from invoices.models.reading import address

REQUEST_ID = "invoice_desk.request_id"  # the member of request.META that backoffice.middleware fills


class Origin(TypedDict):
    """What the journal keeps of a request, as keyword arguments of the functions that write to it."""

    address: str | None
    request_id: str


def origin(request: Any) -> Origin:
    """The client's address and the request's id. Takes Django's request or the REST framework's."""
    return {"address": address(request.META.get("REMOTE_ADDR")), "request_id": request_id(request)}


def request_id(request: Any) -> str:
    """The id under which the log, the journal and the response's header know this request.

    It is empty only where the middleware did not run: in a test that calls a view by itself.
    """
    return request.META.get(REQUEST_ID, "")


def shell_user() -> str:
    """Who runs the command: `ops@host` of the operating system, or `root@host (sudo by alice)`.

    The name is that of the process's own user id, because anybody can set the environment variables USER and LOGNAME.
    """
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # such as in a container that runs under a number
        name = f"uid {os.getuid()}"
    by = os.environ.get("SUDO_USER", "")
    return f"{name}@{socket.gethostname()}" + (f" (sudo by {by})" if by else "")
