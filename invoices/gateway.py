"""All requests to Stripe, and the only `import stripe`. Replies are plain dicts and snapshots; errors are our own.

An answer counts only if it is Stripe's own, with a Request-Id, and an object or an error with a type; and only if it is
about the object that the path names. Whatever else comes back, such as a proxy's page, says nothing about what Stripe
did: OutcomeUnknown.

A request inside a database transaction is refused: a rollback would forget what Stripe did, and a slow reply would hold
our locks. On PostgreSQL the connection goes back to the pool for the time of the request.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import stripe
from django.conf import settings
from django.db import connection
from django.utils.translation import gettext_noop

from invoices import account, clock, throttle, turns
from invoices.deadline import DeadlineSession
from invoices.models.reading import NotFinite, float_of, is_id, json_of, member, text
from invoices.sight import counters, logs, tracing
from invoices.snapshot import ReadTime, Snapshot, is_object, of_read
from invoices.thresholds import KEY_CHECK_LASTS
from invoices.unfold import unfold

log = logging.getLogger(__name__)

PATHS = {  # Stripe's `object` value → its list's path
    "invoice": "/v1/invoices",
    "invoice_payment": "/v1/invoice_payments",
    "payment_intent": "/v1/payment_intents",
    "customer": "/v1/customers",
    "charge": "/v1/charges",
    "credit_note": "/v1/credit_notes",
    "refund": "/v1/refunds",
}
# What a read of one object shows with it (`expand[]`), at no further request: each is stored by itself.
SHOWN_WITH = {"invoice": ("payments",), "payment_intent": ("latest_charge",)}
OBJECTS_PER_PAGE = 100  # Stripe's maximum
ACCOUNT_ID = re.compile(r"\bacct_\w+", re.ASCII)
JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
MAX_DEPTH = 50  # of arrays and objects inside each other; Python's parser gives up near 1,000
MAX_LISTED_OBJECTS = 1000  # of `listing`: ten requests
MAX_READ_RETRIES = 2
MAX_RETRY_WAIT_SECONDS = 5.0  # a read that waited or hung longer than this is not tried again


class GatewayError(Exception):
    """Stripe did not do what was asked, or gave no answer.

    `status` is the HTTP status, None without an answer. `body` is Stripe's error object, or empty. `date` is the
    answer's Date header (Stripe's clock). `retry_after` is in seconds, None where Stripe named no wait. `should_retry`
    is what Stripe advises, None where it says nothing. `replayed`: the request repeated an idempotency key, and this is
    the answer to the first request.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        body: dict[str, Any] | None = None,
        request_id: str = "",
        date: datetime | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        replayed: bool = False,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.body = message, status, body or {}
        self.request_id, self.retry_after, self.replayed = request_id, retry_after, replayed
        self.should_retry = should_retry
        self.date = date or datetime.now(UTC)

    @property
    def code(self) -> str:
        return text(self.body, "code") or ""


class Declined(GatewayError):
    """402: the payment did not go through, or needs the customer's authentication."""


class RefusedByStripe(GatewayError):
    """400, 413: Stripe refuses this request, and changed nothing."""


class Missing(GatewayError):
    """404: Stripe has no such object."""


class IdempotencyKeyConflict(GatewayError):
    """400 `idempotency_error`: this idempotency key was used before with other parameters."""


class NotAllowed(GatewayError):
    """401, 403: our API key does not allow this."""


class WrongAccount(GatewayError):
    """Our API key is of another account or mode than the mirror, or nobody can tell: nothing was sent."""


class RateLimited(GatewayError):
    """429: too many requests; this one was not applied."""


class OutcomeUnknown(GatewayError):
    """A timeout, a dropped connection, 5xx, 409, or an answer that is not Stripe's: the request may have been applied,
    or not."""


class AnotherObject(OutcomeUnknown):
    """The answer is about something else than what the path names."""


# Of answers that are Stripe's. Every other status, such as 5xx, becomes OutcomeUnknown, which assumes nothing.
ERROR_OF_STATUS: dict[int, type[GatewayError]] = {
    400: RefusedByStripe,
    401: NotAllowed,
    402: Declined,
    403: NotAllowed,
    404: Missing,
    409: OutcomeUnknown,
    413: RefusedByStripe,
    429: RateLimited,
}


@dataclass(frozen=True)
class Reply:
    """Stripe's answer to one request: the object or list, and when it was true."""

    data: dict[str, Any]
    time: ReadTime
    request_id: str
    status: int = 200
    replayed: bool = False  # the answer to a repeated idempotency key: an old object under a new date, so no read

    def snapshot(self, data: dict[str, Any] | None = None) -> Snapshot:
        """The snapshot of the object, or of `data`, an object inside the reply."""
        found = self.data if data is None else data
        return of_read(found["object"], found["id"], found, self.time)


class Answered(Protocol):
    """What is counted of an answer."""

    @property
    def status(self) -> int: ...

    @property
    def request_id(self) -> str: ...


Answer = TypeVar("Answer", bound=Answered)


class _BodyKept(stripe.RequestsClient):
    """Keeps the body of a 2xx answer for us, and gives the SDK an empty object in its place: the SDK would parse it a
    first time, into ordered dictionaries that nobody reads."""

    body: bytes = b""

    def request_with_retries(self, *given: Any, **more: Any) -> tuple[Any, int, Mapping[str, str]]:
        body: Any
        body, status, headers = super().request_with_retries(*given, **more)
        if not 200 <= status < 300:
            return body, status, headers
        self.body = body
        return b"{}", status, headers


class _Client(threading.local):
    """Stripe's client of this thread: a DeadlineSession is for one thread. Made anew when the settings differ."""

    made_for: tuple[str, str, float] | None = None
    client: stripe.StripeClient
    http: _BodyKept

    def get(self, api_key: str, base: str, timeout: float) -> stripe.StripeClient:
        if self.made_for != (api_key, base, timeout):
            stripe.enable_telemetry = False
            self.http = _BodyKept(timeout=timeout, session=DeadlineSession(timeout))
            self.client = stripe.StripeClient(
                api_key,
                base_addresses={"api": base},
                stripe_version=settings.STRIPE_API_VERSION,
                max_network_retries=0,  # `read` retries reads; whether an action is sent again, `operations` decides
                http_client=self.http,
            )
            self.made_for = (api_key, base, timeout)
        return self.client


_client = _Client()
_passing_client = _Client()  # with the key that may only read: `pass_on`


def _send(method: str, path: str, params: Mapping[str, Any], *, idempotency_key: str | None = None) -> Reply:
    """Sends one request once, if the key is of the mirror's account; it ends within STRIPE_TIMEOUT_SECONDS. Raises
    GatewayError."""
    if connection.in_atomic_block:
        raise RuntimeError("Stripe is never called inside a database transaction.")
    _check_account()
    return _exchange(method, path, params, idempotency_key=idempotency_key)


def _check_account() -> None:
    """Raises WrongAccount before anything is read with a key of another account, or changed."""
    try:
        account.check(account_of_key, _has, OutcomeUnknown)
    except account.AccountRefused as refused:
        raise WrongAccount(str(refused)) from refused


def account_of_key() -> str:
    """The id of the account that STRIPE_SECRET_KEY belongs to. Raises GatewayError.

    A restricted key may lack the permission to read the account. Stripe's 403 then names the account in its message.
    Where it does not, STRIPE_ACCOUNT is believed.
    """
    try:
        reply = _exchange("get", "/v1/account", {})
        if reply.data["object"] != "account" or not is_id(reply.data.get("id")):
            raise _another("the account", reply)
        return str(reply.data["id"])
    except (NotAllowed, RefusedByStripe, Missing) as error:
        if error.status == 401:
            raise
        named = ACCOUNT_ID.search(error.message)
        if named or settings.STRIPE_ACCOUNT:
            return named[0] if named else settings.STRIPE_ACCOUNT
        raise WrongAccount(
            f"Stripe does not tell whose STRIPE_SECRET_KEY is: {error.message} Nothing was read or changed. Set "
            "STRIPE_ACCOUNT=acct_… (in Stripe's dashboard: Settings → Account details), or use a key that may read "
            "/v1/account.",
            status=error.status,
        ) from error


def _has(object: str, id: str) -> bool:
    """Whether Stripe has this object. It is asked before the account is known. Raises GatewayError."""
    try:
        _exchange("get", f"{PATHS[object]}/{quote(id, safe='')}", {})
    except Missing:
        return False
    return True


def _exchange(method: str, path: str, params: Mapping[str, Any], *, idempotency_key: str | None = None) -> Reply:
    """One request, observed."""
    return _observed(method, path, lambda: _sent(method, path, params, idempotency_key))


def _observed(method: str, path: str, send: Callable[[], Answer]) -> Answer:
    """Sends, and counts and tells of it: by its address without ids, its status, and Stripe's id of it."""
    verb, endpoint = method.upper(), counters.endpoint(path)
    started, status, request_id = time.monotonic(), "none", ""
    with tracing.span(f"{verb} {endpoint}", kind="client", http__request__method=verb, url__template=endpoint) as span:
        try:
            reply = send()
            status, request_id = str(reply.status), reply.request_id
            return reply
        except GatewayError as error:
            status, request_id = str(error.status or "none"), error.request_id
            raise
        finally:
            seconds = time.monotonic() - started
            counters.STRIPE_REQUESTS.labels(verb, endpoint, status).observe(seconds)
            span.set_attribute("http.response.status_code", status)
            span.set_attribute("stripe.request_id", request_id)
            logs.tell(
                log,
                "request to Stripe",
                level=logging.DEBUG if verb == "GET" and status.startswith(("2", "404")) else logging.INFO,
                method=verb,
                endpoint=endpoint,
                status=status,
                stripe_request_id=request_id,
                milliseconds=round(seconds * 1000, 1),
            )


def _sent(method: str, path: str, params: Mapping[str, Any], idempotency_key: str | None) -> Reply:
    client = _client.get(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE, settings.STRIPE_TIMEOUT_SECONDS)
    begun_at = clock.now()
    turns.give_up()
    options = {"idempotency_key": idempotency_key} if idempotency_key else {}
    started = time.monotonic()
    try:
        response = client.raw_request(method, path, **params, **options)
        headers, status, data = _lower(response.headers), response.code, parsed(_client.http.body)
    except stripe.StripeError as error:
        raise _translate(error) from error
    except Exception as error:  # an answer of a shape that the SDK did not expect: the request is sent, all the same
        raise OutcomeUnknown(f"The answer could not be read ({type(error).__name__}).") from error
    took = time.monotonic() - started
    if not headers.get("request-id") or not isinstance(member(data, "object"), str):
        raise _not_stripes(status, headers)
    return Reply(
        data=data,
        time=ReadTime(date=_date(headers), took=took, begun_at=begun_at),
        request_id=headers["request-id"],
        status=status,
        replayed=headers.get("idempotent-replayed") == "true",
    )


def parsed(body: bytes) -> Any:
    """The JSON of an answer; None if it is none. `_in_part` reads what no parser can read whole."""
    try:
        return json_of(body)
    except (ValueError, RecursionError):
        return _in_part(body)


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()} if isinstance(headers, Mapping) else {}


def _in_part(body: bytes) -> Any:
    """JSON that Python cannot parse, because it is nested too deeply or has a number of thousands of digits. None
    if it is no JSON.

    What cannot be read becomes a number that is not finite. No database stores one, so the object around it is recorded
    as unreadable, and all others of the same page are read.
    """
    text = body.decode("utf-8", "replace")
    kept, depth, end = [], 0, 0
    for token in JSON_TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == MAX_DEPTH:
                kept += [text[end : token.start()], "NaN"]
        elif token[0] in "]}":
            if depth == MAX_DEPTH:
                end = token.end()
            depth -= 1
    try:
        written = "".join(kept) + text[end:]
        return json.loads(written, parse_int=_integer, parse_float=float_of, parse_constant=NotFinite)
    except (ValueError, RecursionError):
        return None


def _integer(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # more digits than Python reads
        return NotFinite("inf")


def _not_stripes(status: int | None, headers: Mapping[str, str]) -> OutcomeUnknown:
    """Its text is not repeated: nobody knows whose it is."""
    message = f"Stripe could not be reached: what answered, with status {status}, was not Stripe."
    return OutcomeUnknown(message, status=status, date=_date(headers), retry_after=_seconds(headers.get("retry-after")))


def _date(headers: Mapping[str, str]) -> datetime:
    try:
        return parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError, OverflowError):
        return datetime.now(UTC)


def _translate(error: stripe.StripeError) -> GatewayError:
    headers = _lower(error.headers)
    if isinstance(error, stripe.APIConnectionError) or error.http_status is None:
        return OutcomeUnknown(gettext_noop("Stripe could not be reached, or did not answer in time."))
    body = member(error.json_body, "error")
    if not headers.get("request-id") or not isinstance(member(body, "type"), str):
        return _not_stripes(error.http_status, headers)
    details: dict[str, Any] = {
        "status": error.http_status,
        "body": body,
        "request_id": headers["request-id"],
        "date": _date(headers),
        "replayed": headers.get("idempotent-replayed") == "true",
        "retry_after": _seconds(headers.get("retry-after")),
        "should_retry": {"true": True, "false": False}.get(headers.get("stripe-should-retry", "")),
    }
    message = text(body, "message", limit=2000) or gettext_noop("Stripe gave no reason.")
    if error.http_status == 400 and body.get("type") == "idempotency_error":
        return IdempotencyKeyConflict(message, **details)
    return ERROR_OF_STATUS.get(error.http_status, OutcomeUnknown)(message, **details)


def _seconds(header: str | None) -> float | None:
    """Of a Retry-After header; None where it names no number of seconds that one could wait."""
    try:
        seconds = float(header or "nan")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


# --- passing on ------------------------------------------------------------------------------------------------------

# What the SDK takes for its own options, wherever it stands among the parameters: a caller must not choose these.
OPTIONS_OF_THE_SDK = frozenset(
    "api_key stripe_version stripe_account stripe_context max_network_retries idempotency_key content_type headers "
    "base usage".split()
)


@dataclass(frozen=True)
class Passed:
    """Stripe's answer to a request of a caller's, as it came: also a refusal."""

    status: int
    body: str  # JSON
    request_id: str
    headers: Mapping[str, str]  # names in small letters


def pass_on(method: str, path: str, params: Mapping[str, Any]) -> Passed:
    """Sends a caller's request once, with STRIPE_PASS_THROUGH_KEY. `params` are nested, as the caller gave them; none
    has a name of OPTIONS_OF_THE_SDK. The caller has checked the path. Raises GatewayError where Stripe did not answer,
    and WrongAccount where the key is not of the mirror's account and mode."""
    if connection.in_atomic_block:
        raise RuntimeError("Stripe is never called inside a database transaction.")
    _check_account()
    _check_passing_key()
    return _observed(method, path, lambda: _passed(method, path, params))


def _passed(method: str, path: str, params: Mapping[str, Any]) -> Passed:
    key, base, timeout = settings.STRIPE_PASS_THROUGH_KEY, settings.STRIPE_API_BASE, settings.STRIPE_TIMEOUT_SECONDS
    client = _passing_client.get(key, base, timeout)
    turns.give_up()
    try:
        response = client.raw_request(method, path, **params)
        status, given, body = response.code, response.headers, _passing_client.http.body.decode()
    except stripe.StripeError as error:
        if error.http_status is None or not isinstance(member(member(error.json_body, "error"), "type"), str):
            raise _translate(error) from error
        status, given, body = error.http_status, error.headers, str(error.http_body)
    except Exception as error:  # an answer of a shape that the SDK did not expect
        raise OutcomeUnknown(f"The answer could not be read ({type(error).__name__}).") from error
    headers = _lower(given)
    if not headers.get("request-id") or not isinstance(parsed(body.encode()), dict):
        raise _not_stripes(status, headers)
    return Passed(status, body, headers["request-id"], headers)


_known_passing_keys: dict[str, float] = {}  # a key's fingerprint → `time.monotonic()` until which it counts as right


def _check_passing_key() -> None:
    """Raises WrongAccount where STRIPE_PASS_THROUGH_KEY is of another account or mode than the mirror."""
    key = settings.STRIPE_PASS_THROUGH_KEY
    fingerprint = hashlib.sha256(f"{settings.STRIPE_API_BASE} {key}".encode()).hexdigest()
    if _known_passing_keys.get(fingerprint, 0.0) > time.monotonic():
        return
    if account.mode_of(key) != account.mode_of(settings.STRIPE_SECRET_KEY):
        raise WrongAccount("STRIPE_PASS_THROUGH_KEY is of another mode than STRIPE_SECRET_KEY.")
    record, told = account.recorded(), _observed("get", "/v1/account", lambda: _passed("get", "/v1/account", {}))
    named = ACCOUNT_ID.search(told.body)  # in the account itself, or in the refusal of a key that may not read it
    if record and named and named[0] != record.account:
        raise WrongAccount("STRIPE_PASS_THROUGH_KEY is of another account than this mirror.")
    _known_passing_keys[fingerprint] = time.monotonic() + KEY_CHECK_LASTS.total_seconds()


# --- acting and reading ----------------------------------------------------------------------------------------------


def act(path: str, params: Mapping[str, Any], *, idempotency_key: str) -> Reply:
    """Sends one action once, under this idempotency key. Raises GatewayError; OutcomeUnknown does not mean failure."""
    reply = _send("post", path, params, idempotency_key=idempotency_key)
    if not is_id(reply.data.get("id")):
        raise OutcomeUnknown("Stripe's answer names no object.", status=reply.status, request_id=reply.request_id)
    # /v1/invoices/in_1/pay names an id; /v1/payment_records/report_payment and /v1/payment_intents name none.
    kind, *id_and_verb = path.split("/")[2:]
    id = id_and_verb[0] if len(id_and_verb) > 1 else None
    if not (reply.data["id"] == id if id else reply.data["object"].startswith(kind.removesuffix("s"))):
        raise _another(id or kind, reply)
    return reply


def _another(asked: str, reply: Reply) -> AnotherObject:
    """What answered may be a proxy that mixes up its answers: nothing follows from it."""
    message = f"Asked for {asked}, Stripe answered with something else."
    return AnotherObject(message, status=reply.status, request_id=reply.request_id)


def read(path: str, *, throttled: bool = False, **params: Any) -> Reply:
    """A read. It is tried again after 5xx, a dropped connection, and 429, with the wait that Stripe names.

    Where the request or the wait takes longer than MAX_RETRY_WAIT_SECONDS it is not tried again. `throttled`: each
    request first waits for a slot of the throttle. Raises GatewayError.
    """
    for attempt in range(MAX_READ_RETRIES + 1):
        if throttled:
            throttle.wait()
        started = time.monotonic()
        try:
            reply = _send("get", path, params)
            kind, *id = path.split("/")[2:]  # of /v1/invoices/in_1; a list names no id, or what it belongs to
            may_have_other_names = kind == "payment_methods"  # such as pm_card_visa
            if len(id) == 1 and reply.data.get("id") != id[0] and not may_have_other_names:
                raise _another(id[0], reply)
            return reply
        except (OutcomeUnknown, RateLimited) as error:
            wait = error.retry_after if error.retry_after is not None else 0.2 * 2**attempt
            if attempt == MAX_READ_RETRIES or max(wait, time.monotonic() - started) > MAX_RETRY_WAIT_SECONDS:
                raise
            time.sleep(wait)
    raise AssertionError("unreachable")


def retrieve(object: str, id: str, *, throttled: bool = False) -> list[Snapshot]:
    """One object as it is now, and what belongs to it: an invoice comes with all its lines and its payments, a credit
    note with all its lines, a PaymentIntent with its latest charge.

    The object's own snapshot is the first. A 404 of Stripe's is a snapshot without data. Raises GatewayError for
    everything else.
    """
    expanded = SHOWN_WITH.get(object, ())
    expand = {"expand": list(expanded)} if expanded else {}
    begun_at, started = clock.now(), time.monotonic()
    try:
        reply = read(f"{PATHS[object]}/{quote(id, safe='')}", throttled=throttled, **expand)
        if (reply.data["object"], reply.data.get("id")) != (object, id):
            raise _another(id, reply)
        return of_reply(reply, expanded=expanded, throttled=throttled)
    except Missing as error:  # of the object; or of its lines, if a draft was deleted while we read them
        read_time = ReadTime(date=error.date, took=time.monotonic() - started, begun_at=begun_at)
        return [of_read(object, id, None, read_time)]


def of_reply(
    reply: Reply, *, expanded: Iterable[str], complete: bool = True, throttled: bool = False
) -> list[Snapshot]:
    """The snapshots in a reply that holds one object: the object, an invoice's payments, and what was expanded.

    `expanded` are the paths with which it was asked for: what they show is no part of the object, and is a snapshot of
    its own where it is of a mirrored kind. What the reply leaves out (lines after the tenth, payments after the tenth)
    is read too. `complete=False` sends no further request: the mirror then keeps the later lines that it has, and
    schedules a refetch.
    """
    data, shown = unfold(reply.data, expanded)
    if complete and is_object(data):
        complete_lines(data, throttled=throttled)
    if data.get("object") != "invoice":
        return [reply.snapshot(item) for item in (data, *shown) if is_object(item)]
    payments = reply.data.get("payments")
    if complete and (member(payments, "has_more") or not isinstance(member(payments, "data"), list)):
        return [reply.snapshot(data), *_payments_of(data["id"], throttled)]
    return [reply.snapshot(item) for item in (data, *shown) if is_object(item)]


def _payments_of(invoice: str, throttled: bool) -> Iterator[Snapshot]:
    """All of an invoice's payments, each with the span of the page that it came with."""
    for page in pages(PATHS["invoice_payment"], throttled=throttled, invoice=invoice):
        yield from _snapshots_of(page)


def complete_lines(found: dict[str, Any], *, throttled: bool = False) -> int:
    """Adds the lines that an invoice or a credit note leaves out: it holds the first ten. The number of requests that
    it took; an object without lines takes none.

    The lines of a credit note and of a finalized invoice do not change. A draft's may while we read them; its
    `invoice.updated` follows. If the line after which we continue was deleted, Stripe answers 400. The object then
    keeps its `has_more`, for which the mirror schedules a refetch. Raises GatewayError.
    """
    lines = found.get("lines")
    if not isinstance(lines, dict) or not lines.get("has_more") or not lines.get("data"):
        return 0
    path, later, requests = f"{PATHS[found['object']]}/{found['id']}/lines", [], 0
    try:
        for page in pages(path, throttled=throttled, starting_after=lines["data"][-1]["id"]):
            later += page.data["data"]
            requests += 1
    except RefusedByStripe:
        return requests + 1
    lines["data"] += later
    lines["has_more"] = False
    return requests


def read_page(path: str, **options: Any) -> Reply:
    """One page of a list, as it came: a member may be anything. Raises GatewayError.

    If there are more pages, the last member has an id, for `starting_after`. Members without one at the end of a page
    are left out: the next page begins with them.
    """
    page = read(path, limit=OBJECTS_PER_PAGE, **options)
    found, has_more = page.data.get("data"), page.data.get("has_more")
    if isinstance(found, list) and has_more is True:
        while found and not is_id(member(found[-1], "id")):
            found.pop()
    if not isinstance(found, list) or not isinstance(has_more, bool) or (has_more and not found):
        raise OutcomeUnknown(
            gettext_noop("Asked for a list, Stripe answered with something else."), request_id=page.request_id
        )
    return page


def pages(path: str, *, throttled: bool = False, **params: Any) -> Iterator[Reply]:
    """Every page of a list, in Stripe's order, without members that are no objects. A page is read when the caller asks
    for it. Raises GatewayError."""
    while True:
        page = read_page(path, throttled=throttled, **params)
        members = page.data["data"]
        page.data["data"] = [each for each in members if isinstance(each, dict)]
        yield page
        if not page.data["has_more"]:
            return
        params["starting_after"] = members[-1]["id"]


def walk(
    path: str, *, stop_after: int | None = None, throttled: bool = False, **params: Any
) -> Iterator[dict[str, Any]]:
    """Every object of a list, in Stripe's order. Reading ends with the page on which the number of objects reaches
    `stop_after`. Raises GatewayError."""
    count = 0
    for page in pages(path, throttled=throttled, **params):
        yield from page.data["data"]
        count += len(page.data["data"])
        if stop_after is not None and count >= stop_after:
            return


@dataclass(frozen=True)
class Listing:
    """The newest objects of a list. `cut`: there are more than were read, so what is not among these proves nothing."""

    objects: list[dict[str, Any]]
    cut: bool


def listing(path: str, **params: Any) -> Listing:
    """A list as a whole, in Stripe's order, or cut after MAX_LISTED_OBJECTS. Raises GatewayError."""
    found: list[dict[str, Any]] = []
    for page in pages(path, **params):
        found += page.data["data"]
        if len(found) >= MAX_LISTED_OBJECTS:
            return Listing(found, cut=bool(page.data["has_more"]))
    return Listing(found, cut=False)


def list_page(object: str, *, throttled: bool = False, **params: Any) -> tuple[list[Snapshot], Reply]:
    """One page of a list, newest first: its snapshots, and the reply (`data["has_more"]`, the last id as a cursor).

    A member that `is_object` does not accept stands in the reply, and has no snapshot.

    Invoices and credit notes of more than ten lines come with ten of them and `lines.has_more`; the mirror keeps the
    later ones.
    """
    reply = read_page(PATHS[object], throttled=throttled, **params)
    return _snapshots_of(reply), reply


def _snapshots_of(page: Reply) -> list[Snapshot]:
    return [page.snapshot(item) for item in page.data["data"] if is_object(item)]


def events(types: list[str], since: datetime, until: datetime | None = None) -> Listing:
    """Stripe's events of these types, newest first, between two moments of Stripe's clock; `until` is None for now.

    Stripe keeps them for 30 days. Raises GatewayError.
    """
    created = {"gte": int(since.timestamp())}
    if until is not None:
        created["lte"] = math.ceil(until.timestamp())
    return listing("/v1/events", types=types, created=created)


def verify_signature(body: bytes, header: str, secrets: list[str], tolerance: int) -> str:
    """Empty if these bytes were signed with one of the secrets, no more than `tolerance` seconds before or after now;
    else the reason. The SDK alone would take a signature from any time to come."""
    reason = "no webhook secret is configured"
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "the body is not UTF-8"
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(text, header, secret, tolerance)
        except stripe.SignatureVerificationError as error:
            reason = error.user_message or str(error)
        else:
            # As the SDK reads it, which has just found a number there.
            stamp = next(int(part.split("=")[1]) for part in header.split(",") if part.startswith("t="))
            return "Timestamp is in the future, beyond the tolerance zone" if stamp > time.time() + tolerance else ""
    return reason
