"""Starts the demo's processes, restarts those that die, and ends all of them when the demo ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from invoices.management.demo.guard import send_signal

GRACE_SECONDS = 8.0  # between SIGTERM and SIGKILL
STEADY_SECONDS = 60.0  # a process that ran for longer than this is restarted as if it had never died before
MAX_STARTUP_DEATHS = 3  # in a row, of a process that somebody waits for
MAX_RESTART_DELAY_SECONDS = 30.0
POLL_SECONDS = 0.05
MAX_LOG_BYTES = 10 * 1024 * 1024  # a longer log is moved to `<name>.old.log` at the next start


class StopRequested(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP came."""


class StartupFailed(Exception):
    """Something does not come up; the message is for the person at the terminal."""


@dataclass
class Child:
    """A process that is kept running. Times are seconds of time.monotonic()."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    started_at: float
    deaths: int = 0  # in a row
    restart_at: float | None = None  # while it is dead

    @property
    def group(self) -> int:
        return self.process.pid  # each child leads a session, and so a process group, of its own


class Supervisor:
    """A context manager: however its block is left, no process of the demo stays behind."""

    def __init__(
        self, working_dir: Path, logs: Path, env: Mapping[str, str], print_line: Callable[[str], None]
    ) -> None:
        self.working_dir, self.logs, self.env, self.print_line = working_dir, logs, dict(env), print_line
        self.children: list[Child] = []  # in the order in which they were started
        self.signal_count = 0
        self.spawning = self.stopping = False

    def __enter__(self) -> Supervisor:
        self.logs.mkdir(parents=True, exist_ok=True)
        script = Path(__file__).with_name("guard.py")
        self.guard = subprocess.Popen(
            [sys.executable, "-S", str(script)], stdin=subprocess.PIPE, start_new_session=True, bufsize=0
        )
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # it is ignored under nohup
            signal.signal(signal.SIGHUP, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signal_count += 1
        if not (self.spawning or self.stopping):
            raise StopRequested

    # --- starting -----------------------------------------------------------------------------------------------------

    def start(self, name: str, command: list[str]) -> Child:
        """Starts a process that is restarted whenever it ends. What it prints goes to its log."""
        log = self.log_file(name)
        if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_suffix(".old.log"))
        return self._spawn(name, command)

    def run(self, name: str, command: list[str]) -> int:
        """Runs a process to its end on this terminal, keeps the others running meanwhile, and returns its exit code."""
        child = self._spawn(name, command, to_terminal=True)
        while (code := child.process.poll()) is None:
            self.restart_dead(apart_from=child)
            time.sleep(POLL_SECONDS)
        self._forget(child)
        return code

    def wait_for(self, child: Child, ready: Callable[[], bool], seconds: float) -> None:
        """Returns when `ready` says so. Raises StartupFailed when the child keeps dying, or after these seconds."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.restart_dead()
            if child.deaths >= MAX_STARTUP_DEATHS:
                raise StartupFailed(f"{child.name} does not stay up. {self._last_log_line(child)}")
            if time.monotonic() > deadline:
                raise StartupFailed(f"{child.name} is not ready after {seconds:.0f} s. {self._last_log_line(child)}")
            time.sleep(POLL_SECONDS)

    def log_file(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _spawn(self, name: str, command: list[str], to_terminal: bool = False) -> Child:
        # A signal that interrupts us between Popen and the list of children would leave a process that nobody ends:
        # while `spawning` is set, the handler only counts it.
        self.spawning = True
        try:
            with self.log_file(name).open("ab") as log:
                process = subprocess.Popen(
                    command,
                    cwd=self.working_dir,
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
        if self.signal_count and not self.stopping:
            raise StopRequested
        return child

    # --- restarting ---------------------------------------------------------------------------------------------------

    def restart_dead(self, apart_from: Child | None = None) -> None:
        """Restarts the children that have died. The delay doubles with each death in a row, from half a second."""
        now = time.monotonic()
        for child in list(self.children):
            if child is apart_from:
                continue
            if child.restart_at is not None:
                if now >= child.restart_at:
                    self._restart(child)
            elif (code := child.process.poll()) is not None:
                send_signal(child.group, signal.SIGKILL)  # processes that the child had started
                self._tell_guard(f"-{child.group}")
                child.deaths = 1 if now - child.started_at > STEADY_SECONDS else child.deaths + 1
                delay = min(0.5 * 2 ** (child.deaths - 1), MAX_RESTART_DELAY_SECONDS)
                child.restart_at = now + delay
                self.print_line(f"{child.name} ended ({_exit_in_words(code)}) and starts again in {delay:g} s.")

    def _restart(self, child: Child) -> None:
        """The new process takes the old one's place in the list, and with it its count of deaths."""
        started = self._spawn(child.name, child.command)
        self.children.remove(started)
        child.process, child.started_at, child.restart_at = started.process, started.started_at, None

    # --- ending -------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ends every child. The first that was started, the sandbox, is ended last: the others call it."""
        self.stopping = True
        self._end(self.children[1:])
        self._end(self.children[:1])
        for child in list(self.children):
            self._forget(child)
        if self.guard.stdin:
            self.guard.stdin.close()
        try:
            self.guard.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.guard.kill()
            self.guard.wait()

    def _end(self, children: list[Child]) -> None:
        """SIGTERM, then SIGKILL after GRACE_SECONDS, or at once when another Ctrl-C comes."""
        living = [child for child in children if send_signal(child.group, signal.SIGTERM)]
        deadline = time.monotonic() + GRACE_SECONDS
        signal_count = self.signal_count
        while living and time.monotonic() < deadline and self.signal_count == signal_count:
            time.sleep(POLL_SECONDS)
            living = [child for child in living if child.process.poll() is None or send_signal(child.group, 0)]
        for child in living:
            send_signal(child.group, signal.SIGKILL)
            child.process.wait()

    def _forget(self, child: Child) -> None:
        """For a child that was ended, or has ended by itself: ends what is left of its group."""
        child.process.wait()
        send_signal(child.group, signal.SIGKILL)
        self._tell_guard(f"-{child.group}")
        self.children.remove(child)

    def _tell_guard(self, line: str) -> None:
        try:
            if self.guard.stdin:
                self.guard.stdin.write(f"{line}\n".encode())
        except OSError:
            return  # the guard was killed; while the demo itself lives, it ends its children without the guard

    def _last_log_line(self, child: Child) -> str:
        log = self.log_file(child.name)
        try:
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        except OSError:
            lines = []
        return f"Its log, {log}, ends: {lines[-1].strip() if lines else '(empty)'}"


def _exit_in_words(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
