"""The HTML page at /: address, key, faults, clock, the last deliveries and the request counts."""

from html import escape

from sandbox import API_VERSION, control
from sandbox.world import World

DELIVERIES_SHOWN = 30
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox for Stripe invoices</title>
<style>body{font:15px/1.5 system-ui;margin:2rem auto;max-width:60rem}td{font-family:ui-monospace,monospace}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .6rem;border-bottom:1px solid}</style>
<h1>Sandbox for Stripe invoices</h1>"""


def render(world: World) -> str:
    stats = control.stats(world, {}, "")
    key = world.key or "any key that starts with sk_test_ or rk_test_"
    facts = {
        "Address": world.address,
        "Key": key,
        "API version": API_VERSION,
        "State": world.store.path,
        "Webhooks go to": world.webhook["url"] or "nobody",
        "Clock": control.get_clock(world, {}, ""),
        "Faults": world.faults.settings or "none",
        "Deliveries": stats["deliveries"],
    }
    rows = "".join(f"<tr><th>{escape(name)}<td>{escape(str(value))}" for name, value in facts.items())
    counted = requests(stats["requests"])
    return f"{HEAD}<table>{rows}</table><h2>Last deliveries</h2>{deliveries(world)}<h2>Requests</h2>{counted}"


def deliveries(world: World) -> str:
    latest = control.deliveries(world, {}, "")["data"][:DELIVERIES_SHOWN]
    cells = [
        [one["event"], one["type"], one["endpoint"], one["state"], one["attempts"], one["note"] or ""] for one in latest
    ]
    return table(["event", "type", "receiver", "state", "attempts", "answer"], cells)


def requests(counts: dict[str, int]) -> str:
    return table(["request", "count"], [[name, n] for name, n in counts.items()])


def table(names: list[str], rows: list[list[object]]) -> str:
    if not rows:
        return "<p>None yet.</p>"
    head = "".join(f"<th>{escape(name)}" for name in names)
    return (
        f"<table><tr>{head}"
        + "".join("<tr>" + "".join(f"<td>{escape(str(c))}" for c in row) for row in rows)
        + "</table>"
    )
