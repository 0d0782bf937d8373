"""The processes that the demo starts: begun, watched, begun again when they die, and ended, all of them, always."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from invoices.management.demo.guard import send

GRACE = 8.0  # seconds between asking a process to end and ending it
STEADY = 60.0  # seconds after which a process counts as having worked
TRIES = 3  # how often a process may die while all begins
LOG_BYTES = 10 * 1024 * 1024


class Stop(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP came."""


class Trouble(Exception):
    """Something does not come up; the message is for the person at the terminal."""


@dataclass
class Child:
    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    began: float
    deaths: int = 0  # in a row
    again_at: float | None = None

    @property
    def group(self) -> int:
        return self.process.pid  # each leads a session of its own


class Family:
    """Use as a context: whoever leaves it, in whatever way, leaves no process behind."""

    def __init__(self, home: Path, logs: Path, env: Mapping[str, str], say: Callable[[str], None]) -> None:
        self.home, self.logs, self.env, self.say = home, logs, dict(env), say
        self.children: list[Child] = []
        self.signals = 0
        self.spawning = self.stopping = False

    def __enter__(self) -> Family:
        self.logs.mkdir(parents=True, exist_ok=True)
        script = Path(__file__).with_name("guard.py")
        self.guard = subprocess.Popen(
            [sys.executable, "-S", str(script)], stdin=subprocess.PIPE, start_new_session=True, bufsize=0
        )
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
            signal.signal(signal.SIGHUP, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1
        if not (self.spawning or self.stopping):
            raise Stop

    # --- beginning ----------------------------------------------------------------------------------------------------

    def start(self, name: str, command: list[str]) -> Child:
        """Starts a process that is started again whenever it ends; what it prints goes to its log."""
        log = self.log(name)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".old.log"))
        return self._spawn(name, command)

    def run(self, name: str, command: list[str]) -> int:
        """Runs a process to its end, on this terminal, and minds the others meanwhile; its exit code."""
        child = self._spawn(name, command, to_terminal=True)
        while (code := child.process.poll()) is None:
            self.tend(apart_from=child)
            time.sleep(0.05)
        self._bury(child)
        return code

    def wait_for(self, child: Child, ready: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not ready():
            self.tend()
            if child.deaths >= TRIES:
                raise Trouble(f"{child.name} does not stay up. {self._last_words(child)}")
            if time.monotonic() > until:
                raise Trouble(f"{child.name} is not ready after {seconds:.0f} s. {self._last_words(child)}")
            time.sleep(0.05)

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _spawn(self, name: str, command: list[str], to_terminal: bool = False) -> Child:
        # A signal between the birth and its entry in our books would leave a child that nobody ends.
        self.spawning = True
        try:
            with self.log(name).open("ab") as log:
                process = subprocess.Popen(
                    command,
                    cwd=self.home,
                    env=self.env,
                    stdin=subprocess.DEVNULL,
                    stdout=None if to_terminal else log,
                    stderr=None if to_terminal else log,
                    start_new_session=True,
                )
            child = Child(name, command, process, time.monotonic())
            self.children.append(child)
            self._tell_guard(f"+{child.group}")
        finally:
            self.spawning = False
        if self.signals and not self.stopping:
            raise Stop
        return child

    # --- watching -----------------------------------------------------------------------------------------------------

    def tend(self, apart_from: Child | None = None) -> None:
        """Starts again what has died, each time a little later."""
        now = time.monotonic()
        for child in list(self.children):
            if child is apart_from:
                continue
            if child.again_at is not None:
                if now >= child.again_at:
                    self._revive(child)
            elif (code := child.process.poll()) is not None:
                send(child.group, signal.SIGKILL)  # what it had started itself
                self._tell_guard(f"-{child.group}")
                child.deaths = 1 if now - child.began > STEADY else child.deaths + 1
                wait = min(0.5 * 2 ** (child.deaths - 1), 30.0)
                child.again_at = now + wait
                self.say(f"{child.name} ended ({_how(code)}) and starts again in {wait:g} s.")

    def _revive(self, child: Child) -> None:
        fresh = self._spawn(child.name, child.command)
        self.children.remove(fresh)
        child.process, child.began, child.again_at = fresh.process, fresh.began, None

    # --- ending -------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ends everyone: the first that was started, on whom the others rely, last."""
        self.stopping = True
        self._end(self.children[1:])
        self._end(self.children[:1])
        for child in list(self.children):
            self._bury(child)
        if self.guard.stdin:
            self.guard.stdin.close()
        try:
            self.guard.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.guard.kill()
            self.guard.wait()

    def _end(self, children: list[Child]) -> None:
        living = [child for child in children if send(child.group, signal.SIGTERM)]
        until = time.monotonic() + GRACE
        asked = self.signals
        while living and time.monotonic() < until and self.signals == asked:  # a second Ctrl-C ends the patience
            time.sleep(0.05)
            living = [child for child in living if child.process.poll() is None or send(child.group, 0)]
        for child in living:
            send(child.group, signal.SIGKILL)
            child.process.wait()

    def _bury(self, child: Child) -> None:
        child.process.wait()
        send(child.group, signal.SIGKILL)
        self._tell_guard(f"-{child.group}")
        self.children.remove(child)

    def _tell_guard(self, line: str) -> None:
        try:
            if self.guard.stdin:
                self.guard.stdin.write(f"{line}\n".encode())
        except OSError:
            return  # somebody ended the guard: we end our children ourselves as long as we live

    def _last_words(self, child: Child) -> str:
        log = self.log(child.name)
        try:
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        except OSError:
            lines = []
        return f"Its log, {log}, ends: {lines[-1].strip() if lines else '(empty)'}"


def _how(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
