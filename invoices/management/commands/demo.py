"""`manage.py demo`: sandbox, web, worker, beat, data and users on this machine, with no server to install.

Exit 0 when a person ended it, 1 when something did not come up.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError

from invoices.management.demo.environment import (
    LOCALHOST,
    PREPARED,
    demo_environment,
    leave_the_shell,
    left_out,
    load_secrets,
    process_environment,
)
from invoices.management.demo.ownership import claim
from invoices.management.demo.startup import REPORT, Demo


class Command(BaseCommand):
    help = (
        "Runs everything on this machine against the sandbox, until Ctrl-C. Carries on with the data of the last time."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="of the web app")
        parser.add_argument("--sandbox-port", type=int, default=12111, help="of the stand-in for Stripe")
        parser.add_argument("--data-dir", type=Path, default=Path(".demo"), help="where everything is kept")
        parser.add_argument("--invoices", type=int, default=500, help="how many the sandbox begins with")
        parser.add_argument("--seed", type=int, default=1, help="of the sandbox's data")
        parser.add_argument("--database", metavar="URL", help="an empty PostgreSQL database, or this demo's")
        parser.add_argument("--broker", metavar="URL", help="a Redis or RabbitMQ that nothing else uses")
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="another setting; may be given several times",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        logging.getLogger().setLevel(logging.WARNING)  # the terminal is for the addresses and the tour
        folder: Path = options["data_dir"].absolute()
        port, sandbox_port = options["port"], options["sandbox_port"]
        check_address("--database", options["database"], "postgresql", "postgres", "sqlite")
        check_address("--broker", options["broker"], "redis", "rediss", "amqp", "amqps", "embedded")
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (folder / "lock").open("w")
        except OSError as error:
            raise CommandError(f"The data folder cannot be used: {error.strerror}: {error.filename}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandError(f"Another demo runs on {folder}: end it first, or use another --data-dir.") from None
            (folder / REPORT).unlink(missing_ok=True)  # a demo that was killed may have left it
            check_ports(port, sandbox_port)
            secrets = load_secrets(folder)
            chosen = dict(pair.partition("=")[::2] for pair in options["set"])
            env = demo_environment(folder, port, sandbox_port, secrets, options["database"], options["broker"], chosen)
            if os.environ.get(PREPARED) != str(os.getpid()):
                leave_the_shell(os.environ)  # where this was not started by manage.py
                if left_out:
                    self.print_line(f"Set in this terminal, and not used by the demo: {', '.join(left_out)}")
                restart_with(process_environment(env, os.environ))
            claim(folder, secrets["demo_id"], secrets["api_token"])
            Demo(folder, env, secrets, port, sandbox_port, options["invoices"], options["seed"], self.print_line).run()

    def print_line(self, line: str) -> None:
        try:
            self.stdout.write(line)
            self.stdout.flush()
        except OSError:
            return  # the terminal is gone; the demo goes on


def restart_with(env: dict[str, str]) -> None:
    """Replaces this process by the same command with another environment.

    Django read its settings from the old environment before this command could change it.
    """
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], env | {PREPARED: str(os.getpid())})  # noqa: S606


def check_address(option: str, url: str | None, *schemes: str) -> None:
    """Raises CommandError if the address that was given is none of these sorts."""
    if url is not None and url.partition("://")[0] not in schemes:
        raise CommandError(f"{option} takes an address that begins with {', '.join(f'{one}://' for one in schemes)}.")


def check_ports(*ports: int) -> None:
    """Raises CommandError if a port is taken or cannot be used."""
    if len(set(ports)) < len(ports):
        raise CommandError("--port and --sandbox-port must differ.")
    for port in ports:
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((LOCALHOST, port))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise CommandError(
                f"Port {port} cannot be used ({why}): give others with --port and --sandbox-port."
            ) from None
