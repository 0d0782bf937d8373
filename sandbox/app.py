"""From a request to its reply: API key, version, parameters, idempotency key, one transaction, faults."""

import re
import time
import traceback
from base64 import b64decode
from typing import Any

from sandbox import API_VERSION, idempotency, params, refusals
from sandbox.call import Call
from sandbox.expand import expand_all
from sandbox.faults import ReplyPlan
from sandbox.http_messages import Reply, Request
from sandbox.ids import ids
from sandbox.refusals import Refusal
from sandbox.resources import ROUTES
from sandbox.routes import Route, RouteTable
from sandbox.store import dumps, visible
from sandbox.world import World

ROUTE_TABLE = RouteTable(ROUTES)
API_VERSION_FORMAT = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?", re.ASCII)


def answer(world: World, request: Request) -> Reply:
    """Answer one request to /v1/, with the faults that are set for it."""
    request.id = ids.with_prefix("req_")
    found = ROUTE_TABLE.find(request.method, request.path)
    world.count_request(found[0].name if found else f"{request.method} elsewhere")
    plan = world.faults.plan_reply(request.method, request.path)
    if plan.proxy_page:
        return proxy_page(plan.proxy_page)
    key = request.headers.get("idempotency-key", "") if request.method == "POST" else ""
    try:
        with idempotency.hold_key(world, key):
            reply = attempt(world, request, found, key, plan)
            world.wake_deliveries.set()
            # The effect is committed and no lock is held; only the idempotency key still counts as in use.
            time.sleep(plan.latency_seconds)
    except Refusal as refusal:
        reply = reply_to_refusal(world, request, refusal)
    reply.cut_connection = plan.cut_connection
    if plan.proxy_page_after:
        return proxy_page(plan.proxy_page_after)
    reply.headers = {**common_headers(request, key), **reply.headers}
    if plan.garbled:
        reply.body = reply.body[: len(reply.body) // 2]
    return reply


def proxy_page(status: int) -> Reply:
    """What a proxy between Stripe and the client says: a page, without any of Stripe's headers."""
    headers = {"Content-Type": "text/html"}
    if 300 <= status < 400:
        headers["Location"] = "/v1/moved"
    return Reply(status, f"<html><head><title>{status}</title></head><body>Proxy</body></html>", headers)


def attempt(world: World, request: Request, found: Any, key: str, plan: ReplyPlan) -> Reply:
    """Check key, version and address, then read or write. Every exception becomes a reply."""
    try:
        authenticate(world, request.headers.get("authorization", ""))
        check_version(request.headers.get("stripe-version", API_VERSION))
        if plan.rate_limited:
            raise refusals.rate_limited()
        if found is None:
            raise refusals.unknown_url(request.method, request.path)
        route, path_ids = found
        given = params.parse("&".join(part for part in (request.query, request.body) if part))
        call = {"path": request.path, "id": (path_ids or [""])[0], "second_id": path_ids[1] if path_ids[1:] else ""}
        if request.method == "GET":
            return read(world, request, route, given, call, plan)
        return write(world, request, route, given, {**call, "key": key or None}, plan)
    except Refusal as refusal:
        return reply_to_refusal(world, request, refusal)
    except Exception:  # a bug in the sandbox: the client sees Stripe's 500, our console the traceback
        traceback.print_exc()
        return reply_to_refusal(world, request, refusals.server_error())


def read(world: World, request: Request, route: Route, given: Any, address: Any, plan: ReplyPlan) -> Reply:
    if plan.fails_before_effect or plan.fails_after_effect:
        raise refusals.server_error()
    checked = check_parameters(route, given)
    with world.store.read() as db:
        call = Call(db, world, world.clock.now(), checked, request_id=request.id, **address)
        return Reply(200, rendered(call, route.handler(call)))


def write(world: World, request: Request, route: Route, given: Any, address: Any, plan: ReplyPlan) -> Reply:
    """The effect, its events, their deliveries and the reply saved under the key are one transaction."""
    key, parameters_text = address["key"], dumps(given)
    with world.store.write() as db:
        now = world.clock.now()
        saved = idempotency.find_saved_reply(db, key, request.path, parameters_text, now)
        if saved:
            return saved
        call = Call(db, world, now, {}, request_id=request.id, **address)
        reply = perform(call, request, route, given, plan)
        if reply.saved_under_key:
            idempotency.save_reply(db, key, request.path, parameters_text, now, request.id, reply)
        return reply


def perform(call: Call, request: Request, route: Route, given: Any, plan: ReplyPlan) -> Reply:
    """Run the handler inside a savepoint.

    A refusal rolls everything back, unless it keeps its effects: a declined charge stays recorded. With the fault
    `error_500_after` everything is applied and the reply is a 500.
    """
    db = call.db
    db.execute("SAVEPOINT effect")
    try:
        call.params = check_parameters(route, given)
        if plan.fails_before_effect:
            raise refusals.server_error()
        reply = Reply(200, rendered(call, route.handler(call)))
    except Refusal as refusal:
        if not refusal.keeps_effects:
            db.execute("ROLLBACK TO effect")
            call.world.load_endpoints(db)
        reply = reply_to_refusal(call.world, request, refusal)
    except Exception:
        db.execute("ROLLBACK TO effect")
        call.world.load_endpoints(db)
        traceback.print_exc()
        reply = reply_to_refusal(call.world, request, refusals.server_error())
    db.execute("RELEASE effect")
    if plan.fails_after_effect and reply.saved_under_key:
        return reply_to_refusal(call.world, request, refusals.server_error())
    return reply


def check_parameters(route: Route, given: dict[str, Any]) -> dict[str, Any]:
    checked = params.check_parameters(route.parameters, given)
    for name in route.required:
        if name not in checked:
            raise refusals.parameter_missing(name)
    return checked


def rendered(call: Call, result: dict[str, Any] | str) -> str:
    """The JSON text of a handler's result. A string is finished JSON already: lists are not parsed again."""
    if isinstance(result, str):
        return result
    return dumps(expand_all(call, visible(result), call.params.get("expand", [])))


def reply_to_refusal(world: World, request: Request, refusal: Refusal) -> Reply:
    error = dict(refusal.error)
    if refusal.has_log_url:
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request.id}?t={world.clock.now()}"
    return Reply(refusal.status, dumps({"error": error}), dict(refusal.headers), refusal.saved_under_key)


def common_headers(request: Request, key: str) -> dict[str, str]:
    headers = {
        "Request-Id": request.id,
        "Stripe-Version": request.headers.get("stripe-version", API_VERSION),
        "Content-Type": "application/json",
        "Cache-Control": "no-cache, no-store",
    }
    if key:
        headers["Idempotency-Key"] = key
        headers["Original-Request"] = request.id
    return headers


def check_version(version: str) -> None:
    if not API_VERSION_FORMAT.fullmatch(version):
        raise Refusal(400, f"Invalid Stripe API version: {version[:100]}", saved_under_key=False, has_log_url=False)


def authenticate(world: World, header: str) -> None:
    """Accept the key as Bearer token or as Basic user name (Stripe docs: Authentication)."""
    kind, _, value = header.partition(" ")
    key = value.strip()
    if kind.lower() == "basic":
        try:
            key = b64decode(key, validate=True).decode().partition(":")[0]
        except ValueError:
            key = ""
    if not key or kind.lower() not in ("bearer", "basic"):
        raise refusals.api_key_missing()
    known = key == world.key if world.key else key.startswith(("sk_test_", "rk_test_")) and len(key) > 8
    if not known:
        raise refusals.api_key_unknown(key)
