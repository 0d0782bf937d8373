"""A request becomes a reply: key, version, parameters, idempotency, one transaction, and the faults around it all."""

import re
import time
import traceback
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Any

from sandbox import API_VERSION, idempotency, params, refusals
from sandbox.call import Call
from sandbox.expand import expand_all
from sandbox.faults import Reply as Plan
from sandbox.ids import ids
from sandbox.refusals import Refusal
from sandbox.resources import ROUTES
from sandbox.routes import Route, Table
from sandbox.store import Db, dumps, visible
from sandbox.world import World

TABLE = Table(ROUTES)
VERSION = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?", re.ASCII)


@dataclass
class Request:
    method: str
    path: str
    query: str
    body: str
    headers: dict[str, str]  # names in lower case
    id: str = ""


@dataclass
class Reply:
    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    saved: bool = True
    cut: bool = False  # the connection ends without an answer


def answer(world: World, request: Request) -> Reply:
    request.id = ids.with_prefix("req_")
    found = TABLE.find(request.method, request.path)
    world.count_request(found[0].name if found else f"{request.method} elsewhere")
    plan = world.faults.reply(request.method, request.path)
    key = request.headers.get("idempotency-key", "") if request.method == "POST" else ""
    try:
        with idempotency.running(world, key):
            reply = attempt(world, request, found, key, plan)
            world.wake_deliveries.set()
            time.sleep(plan.latency)  # the effect is committed and no lock is held; the key counts as still running
    except Refusal as refusal:
        reply = from_refusal(world, request, refusal)
    reply.cut = plan.cut
    reply.headers = {**common_headers(request, key), **reply.headers}
    return reply


def attempt(world: World, request: Request, found: Any, key: str, plan: Plan) -> Reply:
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
        return from_refusal(world, request, refusal)
    except Exception:  # a bug of ours must look like one of Stripe's, and be seen on our side
        traceback.print_exc()
        return from_refusal(world, request, refusals.broken())


def read(world: World, request: Request, route: Route, given: Any, about: Any, plan: Plan) -> Reply:
    if plan.broken_before or plan.broken_after:
        raise refusals.broken()
    checked = check(route, given)
    with world.store.read() as db:
        call = Call(db, world, world.clock.now(), checked, request_id=request.id, **about)
        return Reply(200, rendered(call, route.handler(call)))


def write(world: World, request: Request, route: Route, given: Any, about: Any, plan: Plan) -> Reply:
    key, fingerprint = about["key"], dumps(given)
    with world.store.write() as db:
        now = world.clock.now()
        saved = idempotency.saved(db, key, request.path, fingerprint, now)
        if saved:
            status, headers, body = saved
            return Reply(status, body, headers)
        call = Call(db, world, now, {}, request_id=request.id, **about)
        reply = effect(call, request, route, given, plan)
        if reply.saved:
            idempotency.save(db, key, request.path, fingerprint, now, request.id, reply)
        return reply


def effect(call: Call, request: Request, route: Route, given: Any, plan: Plan) -> Reply:
    """Refused: nothing was done. Declined: what was done stays. Broken after: all was done, and nobody is told."""
    db: Db = call.db
    db.execute("SAVEPOINT effect")
    try:
        call.params = check(route, given)
        if plan.broken_before:
            raise refusals.broken()
        reply = Reply(200, rendered(call, route.handler(call)))
    except Refusal as refusal:
        if not refusal.keeps:
            db.execute("ROLLBACK TO effect")
            call.world.load_endpoints(db)
        reply = from_refusal(call.world, request, refusal)
    except Exception:
        db.execute("ROLLBACK TO effect")
        call.world.load_endpoints(db)
        traceback.print_exc()
        reply = from_refusal(call.world, request, refusals.broken())
    db.execute("RELEASE effect")
    return from_refusal(call.world, request, refusals.broken()) if plan.broken_after and reply.saved else reply


def check(route: Route, given: dict[str, Any]) -> dict[str, Any]:
    checked = params.check(route.spec, given)
    for name in route.required:
        if name not in checked:
            raise refusals.required(name)
    return checked


def rendered(call: Call, result: dict[str, Any] | str) -> str:
    if isinstance(result, str):
        return result
    return dumps(expand_all(call, visible(result), call.params.get("expand", [])))


def from_refusal(world: World, request: Request, refusal: Refusal) -> Reply:
    error = dict(refusal.error)
    if refusal.logged:
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request.id}?t={world.clock.now()}"
    return Reply(refusal.status, dumps({"error": error}), dict(refusal.headers), refusal.saved)


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
    if not VERSION.fullmatch(version):
        raise Refusal(400, f"Invalid Stripe API version: {version[:100]}", saved=False, logged=False)


def authenticate(world: World, header: str) -> None:
    kind, _, value = header.partition(" ")
    key = value.strip()
    if kind.lower() == "basic":
        try:
            key = b64decode(key, validate=True).decode().partition(":")[0]
        except ValueError:
            key = ""
    if not key or kind.lower() not in ("bearer", "basic"):
        raise refusals.no_key()
    known = key == world.key if world.key else key.startswith(("sk_test_", "rk_test_")) and len(key) > 8
    if not known:
        raise refusals.wrong_key(key)
