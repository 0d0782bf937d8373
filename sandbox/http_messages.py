"""One HTTP request and its reply, as plain values: what the server hands in and gets back."""

from dataclasses import dataclass, field


@dataclass
class Request:
    method: str
    path: str
    query: str
    body: str
    headers: dict[str, str]  # names in lower case
    id: str = ""  # Stripe's Request-Id, "req_…"; given when the request is answered


@dataclass
class Reply:
    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    saved_under_key: bool = True  # an idempotency key repeats this reply
    cut_connection: bool = False  # the fault `drop_reply`: the connection closes without an answer
