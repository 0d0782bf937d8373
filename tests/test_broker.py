"""The embedded broker: nothing half-written is read, nothing is taken twice, nothing kills a worker."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import chain
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection

import backoffice.broker
from backoffice.broker import CLAIM_TIMEOUT_NS, MESSAGE_LIFETIME_NS, SECOND_NS, TIDY_INTERVAL_NS

QUEUE = "wake"


@pytest.fixture
def connect(tmp_path):
    """A connection of its own to the same folder, as another process would have."""
    opened = []

    def connect():
        opened.append(Connection("embedded://", transport_options={"folder": str(tmp_path)}))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.release()


@pytest.fixture
def queue(connect):
    return connect().SimpleQueue(QUEUE, no_ack=True)


@pytest.fixture
def folder(tmp_path, queue):
    queue.put("first of all")
    queue.get(block=False)
    return next(tmp_path.iterdir())


def take(queue):
    """Everything that there is, in the order in which it comes."""
    taken = []
    while True:
        try:
            taken.append(queue.get(block=False).payload)
        except Empty:
            return taken


@pytest.fixture
def pass_time(monkeypatch):
    def pass_time(nanoseconds):
        now = time.time_ns() + nanoseconds
        monkeypatch.setattr(backoffice.broker, "time_ns", lambda: now)

    return pass_time


def test_messages_come_in_the_order_in_which_they_were_sent(connect, queue):
    for number in range(50):
        connect().SimpleQueue(QUEUE).put(number) if number % 10 == 0 else queue.put(number)
    assert take(queue) == list(range(50))


def test_queues_are_apart_even_with_odd_names(connect, tmp_path):
    names = ["a", "a.b", "../escape", "worker@host.pidbox", ".."]
    for name in names:
        connect().SimpleQueue(name, no_ack=True).put(name)
    assert [take(connect().SimpleQueue(name, no_ack=True)) for name in names] == [[name] for name in names]
    assert all(path.parent == tmp_path for path in tmp_path.iterdir())
    assert not (tmp_path.parent / "escape").exists()


def test_what_is_not_finished_is_not_read(queue, folder):
    queue.put("whole")
    message = next(folder.glob("*.msg"))
    content = message.read_bytes()
    message.with_suffix(".new").write_bytes(content[: len(content) // 2])
    assert take(queue) == ["whole"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"null",
        b'{"properties": {"delivery_tag": 1, "body_encoding": "base64"}, "body": 5}',
    ],
)
def test_what_nobody_can_read_is_dropped_and_harms_nothing(queue, folder, content, caplog):
    (folder / f"{time.time_ns():020d}-{time.time_ns() + MESSAGE_LIFETIME_NS:020d}-{'0' * 32}.msg").write_bytes(content)
    queue.put("next")
    assert take(queue) == ["next"]
    assert "unreadable" in caplog.text
    assert not list(folder.iterdir())


def test_a_file_with_another_name_is_past_its_time(queue, folder):
    (folder / "notes.msg").write_text("hello")
    queue.put("next")
    assert take(queue) == ["next"]


def test_consumers_at_once_claim_each_message_once(connect, queue):
    sent = list(range(400))
    taken: list[list[int]] = [[] for _ in range(4)]
    queues = [connect().SimpleQueue(QUEUE, no_ack=True) for _ in taken]
    sending = threading.Thread(target=lambda: [queue.put(number) for number in sent])

    def consume(number):
        until = time.monotonic() + 20
        while sum(map(len, taken)) < len(sent) and time.monotonic() < until:
            taken[number] += take(queues[number])

    threads = [sending, *(threading.Thread(target=consume, args=[number]) for number in range(4))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(chain.from_iterable(taken)) == sent
    assert all(part == sorted(part) for part in taken)


def test_a_message_that_expires_is_dropped(queue, pass_time):
    queue.put("short", expiration=30)
    queue.put("long")
    pass_time(40 * SECOND_NS)
    assert take(queue) == ["long"]


def test_a_day_of_beats_messages_that_nobody_takes_does_not_grow(queue, folder, pass_time):
    for second in range(0, 300):
        pass_time(second * SECOND_NS)
        queue.put("from beat", expiration=1)
    assert len(list(folder.iterdir())) <= TIDY_INTERVAL_NS // SECOND_NS + 2


def test_nothing_is_kept_for_longer_than_a_day(queue, folder, pass_time):
    queue.put("yesterday's")
    pass_time(MESSAGE_LIFETIME_NS + SECOND_NS)
    queue.put("today's")
    assert len(list(folder.iterdir())) == 1
    assert take(queue) == ["today's"]


def test_what_a_killed_worker_had_claimed_comes_back(connect, queue, folder, pass_time):
    queue.put("claimed")
    message = next(folder.glob("*.msg"))
    message.rename(folder / f".{time.time_ns():020d}.{message.name}")
    (folder / f"{time.time_ns():020d}-0-x.new").write_text("never finished")
    assert take(connect().SimpleQueue(QUEUE, no_ack=True)) == []
    pass_time(CLAIM_TIMEOUT_NS + SECOND_NS)
    assert take(connect().SimpleQueue(QUEUE, no_ack=True)) == ["claimed"]
    assert not list(folder.iterdir())


def test_a_message_that_was_taken_and_not_acknowledged_returns_when_the_connection_closes(connect, queue):
    with connect() as connection:
        channel = connection.channel()
        queue.put("one")
        assert channel.basic_get(QUEUE) is not None
    assert take(queue) == ["one"]


def test_purging_and_counting(queue):
    for number in range(3):
        queue.put(number)
    assert queue.qsize() == 3
    assert queue.clear() == 3
    assert take(queue) == []


def test_a_folder_that_vanished_is_made_again(queue, folder):
    folder.rmdir()
    assert take(queue) == []
    queue.put("one")
    assert take(queue) == ["one"]


SENDER = """
import sys
import backoffice.broker
from kombu import Connection
with Connection("embedded://", transport_options={"folder": sys.argv[1]}) as connection:
    queue = connection.SimpleQueue("wake")
    print("ready", flush=True)
    while True:
        queue.put("x" * 200_000)
"""


def test_a_sender_killed_in_the_middle_leaves_only_whole_messages(connect, queue, tmp_path, caplog):
    sender = subprocess.Popen([sys.executable, "-c", SENDER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path.cwd())
    assert sender.stdout is not None
    sender.stdout.readline()
    taken = []
    until = time.monotonic() + 0.5
    while time.monotonic() < until:  # one message at a time: the sender may be faster, and the queue never empty
        with suppress(Empty):
            taken.append(queue.get(block=False).payload)
    os.kill(sender.pid, signal.SIGKILL)
    sender.wait()
    sender.stdout.close()
    taken += take(queue)
    assert taken and set(map(len, taken)) == {200_000}
    assert "unreadable" not in caplog.text


def test_a_waiting_consumer_wakes_within_a_moment(connect, queue):
    other = connect().SimpleQueue(QUEUE)
    waits = []
    for _ in range(10):
        threading.Timer(0.05, lambda: other.put(time.monotonic())).start()
        sent = queue.get(timeout=5).payload
        waits.append(time.monotonic() - sent)
    assert sorted(waits)[5] < 0.5  # kombu's own brokers look once a second
