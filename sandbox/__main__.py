"""The command line, `python -m sandbox`: open the state file, plant invoices if asked, serve until a signal."""

import argparse
import contextlib
import signal
import sqlite3
import sys
from pathlib import Path
from types import FrameType

from sandbox import seeds, timers
from sandbox.server import Server
from sandbox.webhooks import Deliverer
from sandbox.world import World

EPILOG = """It answers as Stripe answers for invoices, remembers everything in one file, and sends signed webhooks.
Point any Stripe SDK at its address. Tests steer it at /_sandbox/ (faults, clock, reset, stats); GET / shows where it
stands."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="A stand-in for Stripe's invoices on 127.0.0.1.", epilog=EPILOG
    )
    parser.add_argument("--port", type=int, default=12111, help="0 takes a free one (default: 12111)")
    parser.add_argument(
        "--state", type=Path, default=Path("sandbox.sqlite3"), help="the one file (default: sandbox.sqlite3)"
    )
    parser.add_argument("--webhook-url", help="where events are posted (default: nowhere, or where they went before)")
    parser.add_argument("--webhook-secret", help="signs them (default: whsec_sandbox)")
    parser.add_argument("--invoices", type=int, default=0, help="how many to plant into an empty state (default: 0)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed plants the same invoices (default: 1)")
    parser.add_argument("--key", help="accept this key alone (default: any that starts with sk_test_ or rk_test_)")
    return parser.parse_args(arguments)


def end_program(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> int:
    options = parse_arguments()
    try:
        options.state.parent.mkdir(parents=True, exist_ok=True)
        world = World(options.state, options.key)
    except (OSError, sqlite3.Error) as problem:
        print(f"sandbox: cannot use the state file {options.state}: {problem}", file=sys.stderr)
        return 1
    try:
        server = Server(options.port, world)
    except (OSError, OverflowError) as problem:
        print(f"sandbox: cannot listen on 127.0.0.1:{options.port}: {problem}", file=sys.stderr)
        return 1
    if options.webhook_url or options.webhook_secret:
        world.set_webhook(options.webhook_url or world.webhook["url"], options.webhook_secret)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end_program)
    if options.invoices and seeds.is_needed(world):
        seeds.plant(world, options.invoices, options.seed)
    Deliverer(world).start()
    timers.start(world)
    print(f"sandbox ready at {world.address}", flush=True)
    with contextlib.suppress(SystemExit):
        server.serve_forever(poll_interval=0.2)
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
