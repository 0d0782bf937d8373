"""The addresses below /_sandbox/, with which tests and people steer the sandbox. No key is needed, no fault applies."""

import json
import traceback
from collections.abc import Callable
from typing import Any

from sandbox import control
from sandbox.faults import ControlError
from sandbox.http_messages import Reply
from sandbox.store import dumps
from sandbox.world import World

Handler = Callable[[World, dict[str, Any], str], Any]  # world, JSON body, id in the address
ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", "faults"): control.get_faults,
    ("POST", "faults"): control.set_faults,
    ("DELETE", "faults"): control.clear_faults,
    ("GET", "stats"): control.stats,
    ("GET", "clock"): control.get_clock,
    ("POST", "clock"): control.set_clock,
    ("GET", "webhook"): control.get_webhook,
    ("POST", "webhook"): control.set_webhook,
    ("POST", "reset"): control.reset,
    ("GET", "deliveries"): control.deliveries,
    ("POST", "redeliver/:id"): control.redeliver,
    ("POST", "payment_intents/:id/settle"): control.settle,
    ("POST", "refunds/:id/settle"): control.settle_refund,
    ("POST", "charges/:id/dispute"): control.dispute,
    ("POST", "invoices/:id/charge_automatically"): control.charge_automatically,
    ("POST", "customers/:id/redact"): control.redact_customer,
    ("GET", "mandates"): control.mandates,
    ("GET", "unknowns"): control.unknowns,
}


def answer(world: World, method: str, path: str, query: str, body: str) -> Reply:
    parts = path.removeprefix("/_sandbox").strip("/").split("/")
    name, id = ("/".join([parts[0], ":id", *parts[2:]]), parts[1]) if len(parts) > 1 else (parts[0], "")
    handler = ROUTES.get((method, name))
    if handler is None:
        known = sorted(f"{verb} /_sandbox/{one}" for verb, one in ROUTES)
        return reply(
            404 if name else 200, {"endpoints": known, **({"error": "There is no such address."} if name else {})}
        )
    try:
        given = json.loads(body) if body.strip() else {}
        if not isinstance(given, dict):
            raise ControlError("The body is a JSON object.")
        return reply(200, handler(world, given, id))
    except json.JSONDecodeError as problem:
        return reply(400, {"error": f"The body is not JSON: {problem}"})
    except ControlError as mistake:
        return reply(400, {"error": str(mistake)})
    except Exception as problem:
        traceback.print_exc()
        return reply(500, {"error": repr(problem)})


def reply(status: int, value: Any) -> Reply:
    return Reply(status, dumps(value), {"Content-Type": "application/json"})
