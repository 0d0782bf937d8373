"""python generated_scenario.py <folder>: what a service does with a client that was generated from the description.

The folder holds the client as the package `desk`. Reads from stdin where to ask and for what
(tests/clients/test_generated_client.py); prints each reply twice, as it came and as the client gives it back, as JSON.
"""

import importlib
import json
import re
import sys
from typing import Any

sys.path.insert(0, sys.argv[1])


def ask(client: Any, operation: dict[str, str], *args: Any, **given: Any) -> dict[str, Any]:
    """Calls an operation by its id. What was parsed is None where the client did not know the status."""
    module_name = re.sub(r"(?<!^)(?=[A-Z])", "_", operation["id"]).lower()
    tag = operation["tag"].lower().replace(" ", "_")
    module = importlib.import_module(f"desk.api.{tag}.{module_name}")
    reply = module.sync_detailed(*args, client=client, **given)
    parsed = reply.parsed.to_dict() if reply.parsed is not None else None
    return {"status": int(reply.status_code), "came": json.loads(reply.content), "parsed": parsed}


def scenario(given: dict[str, Any]) -> dict[str, Any]:
    desk: Any = importlib.import_module("desk")
    client = desk.AuthenticatedClient(base_url=given["address"], token=given["key"])
    operations, ids = given["operations"], given["ids"]
    found = {}
    for address in given["lists"]:
        found[address] = ask(client, operations[address])
        one = f"{address}/{{id}}"
        if one in operations and found[address]["came"].get("data"):
            found[one] = ask(client, operations[one], found[address]["came"]["data"][0]["id"])

    invoices, walked = operations["GET /v1/invoices"], []
    after: dict[str, str] = {}
    while True:
        page = ask(client, invoices, customer=ids["customer"], limit=2, **after)["parsed"]
        walked += page["data"]
        if not page["has_more"]:
            break
        after = {"starting_after": walked[-1]["id"]}
    found["page by page"] = {"status": 200, "came": walked, "parsed": walked}

    retrieve, pay = operations["GET /v1/invoices/{id}"], operations["POST /v1/invoices/{id}/pay"]
    found["expanded"] = ask(client, retrieve, ids["paid"], expand=["customer", "payments"])
    found["lines"] = ask(client, operations["GET /v1/invoices/{id}/lines"], ids["long"], limit=100)
    found["unknown"] = ask(client, retrieve, "in_nope")
    for name in ("pay", "decline"):
        found[name] = ask(client, pay, ids[name], idempotency_key=f"{given['idempotency_key']} {name}")
    wrong = desk.AuthenticatedClient(base_url=given["address"], token=given["wrong_key"])
    found["wrong key"] = ask(wrong, invoices)
    return found


if __name__ == "__main__":
    print(json.dumps(scenario(json.load(sys.stdin))))
