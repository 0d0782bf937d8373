"""A mail server on a socket of its own: it keeps what it took, refuses whom it is told to, and can hold its answers."""

from __future__ import annotations

import email
import socketserver
import threading
from email.message import Message
from typing import Any


class MailServer(socketserver.ThreadingTCPServer):
    """`taken` are the messages, as they came. `refused`: address → answer, such as "550 No such person"."""

    daemon_threads = allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.taken: list[Message] = []
        self.refused: dict[str, str] = {}
        self.hold = threading.Event()  # while it is set, nobody is told that a message was taken
        self.has_taken = threading.Event()
        self.goes_on = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def ids(self) -> list[str]:
        return [str(message["Message-ID"]) for message in self.taken]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.say("220 ready")
        while line := self.rfile.readline():
            verb, rest = line[:4].upper(), line.decode(errors="replace").strip()
            if verb == b"DATA":
                self.take()
            elif verb == b"QUIT":
                return self.say("221 bye")
            elif verb == b"RCPT":
                self.say(next((no for who, no in self.server.refused.items() if who in rest), "250 ok"))
            else:
                self.say("250 ok")
        return None

    def take(self) -> None:
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        self.server.taken.append(email.message_from_bytes(b"".join(lines)))
        self.server.has_taken.set()
        if self.server.hold.is_set():
            self.server.goes_on.wait(60)
        self.say("250 taken")

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())
