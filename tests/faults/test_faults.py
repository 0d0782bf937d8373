"""The parts of the faults' bench, each for a moment; `make faults` plays the faults themselves, which takes an hour."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.faults import report
from tests.faults.bench import Result
from tests.faults.cases import FAULTS, Length
from tests.faults.desk import KINDS, command
from tests.faults.servers import LOCALHOST, CannotPlay, Cluster, Redis, Wire, wait_until
from tests.sandbox_process import ROOT


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that the server's user can reach."""
    made = tmp_path_factory.mktemp("faults")
    for each in (made, *made.parents[:3]):
        if each.is_relative_to("/tmp") and each != Path("/tmp"):
            each.chmod(0o755)
    return made


@pytest.fixture
def cluster(folder: Path) -> Iterator[Cluster]:
    try:
        made = Cluster(folder / "postgres").make().start()
    except CannotPlay as reason:
        pytest.skip(f"NOT DONE HERE: {reason}")
    yield made
    made.stop("immediate")


def test_a_server_of_our_own_dies_and_its_copy_takes_its_place(cluster: Cluster, folder: Path) -> None:
    wire = Wire(cluster.port)
    copy = None
    try:
        with cluster.connect() as owner:
            owner.execute("CREATE TABLE kept (id integer)")
        copy = cluster.copy(folder / "copy")
        wait_until(lambda: copy and copy.connect().execute("SELECT * FROM kept") is not None, 30, "the copy follows")
        copy.stop()
        with cluster.connect() as owner:
            owner.execute("INSERT INTO kept VALUES (1)")
        through = psycopg.connect(host=LOCALHOST, port=wire.port, user="postgres", dbname="postgres", autocommit=True)
        cluster.stop("immediate")
        wire.cut()
        with pytest.raises(psycopg.OperationalError):
            through.execute("SELECT 1")
        copy.start()
        copy.promote()
        wire.target = copy.port
        with psycopg.connect(host=LOCALHOST, port=wire.port, user="postgres", dbname="postgres") as again:
            assert again.execute("SELECT count(*) FROM kept").fetchone() == (0,)  # what came last is gone
            again.execute("INSERT INTO kept VALUES (2)")
    finally:
        wire.stop()
        if copy:
            copy.stop("immediate")


def test_a_wire_freezes_and_goes_on() -> None:
    with socket.create_server((LOCALHOST, 0)) as server:

        def echo() -> None:
            client, _ = server.accept()
            with client:
                while data := client.recv(100):
                    client.sendall(data)

        threading.Thread(target=echo, daemon=True).start()
        wire = Wire(server.getsockname()[1])
        with socket.create_connection((LOCALHOST, wire.port), 10) as client:
            client.sendall(b"a")
            assert client.recv(1) == b"a"
            wire.frozen = True
            client.sendall(b"b")
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(1)
            wire.frozen = False
            client.settimeout(10)
            assert client.recv(1) == b"b"
        wire.stop()


def test_a_redis_of_our_own_is_flushed_and_killed(folder: Path) -> None:
    import redis

    try:
        server = Redis(folder / "redis").start()
    except CannotPlay as reason:
        pytest.skip(f"NOT DONE HERE: {reason}")
    try:
        client = redis.Redis(LOCALHOST, server.port)
        client.set("a", 1)
        server.flush()
        assert client.get("a") is None
        server.stop()
        with pytest.raises(redis.ConnectionError):
            redis.Redis(LOCALHOST, server.port).ping()
    finally:
        server.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_the_processes_are_started_as_the_readme_says(kind: str, tmp_path: Path) -> None:
    words = command(kind, tmp_path, LOCALHOST, 8123)
    assert Path(words[0]).is_relative_to(ROOT) and "/var/lib/desk/beat-schedule" not in words
    assert kind != "web" or ("8123" in words and LOCALHOST in words and "8000" not in words)


def test_the_page_names_every_fault_and_is_of_this_code() -> None:
    page = report.DOCUMENT.read_text()
    assert [name for name in FAULTS if f"`{name}`" not in page] == []
    assert page.startswith(report.HEAD)
    result = Result(next(iter(FAULTS)), seconds=17)
    rendered = report.render({result.fault: result}, Length(), ["`x`: no root."])
    assert (
        "| kept, with 0 payments and 0 events | 30 s |" in rendered
        and "- `x`: no root." in rendered
        and "was not played" in rendered
    )
