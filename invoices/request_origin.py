"""Where an HTTP request came from, for the journal: the client's address and the request's id."""

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
