"""The web server's limits: slow clients cost no thread, what has begun goes on, and only our proxies are believed."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse

from backoffice import forwarding, serving
from backoffice.serving import UPLOAD_PATH
from tests.helpers import asynchronous
from tests.helpers.asgi import LIMIT, Client, Django


def ask(django: Django, *clients: Client) -> None:
    async def all_of_them() -> None:
        server = serving.Server(django)
        await asyncio.gather(*(client.ask(server) for client in clients))

    asynchronous.run(all_of_them())


class TestWhatReachesDjango:
    def test_a_request_with_its_body_address_and_query(self):
        django = Django()
        client = Client("POST", "/v1/invoices", b"a=1", b"&b=2", headers={"content-type": "text/x", "host": "desk"})
        client.scope |= {"query_string": b"limit=2", "raw_path": b"/v1/in%C3%A9"}
        ask(django, client)
        (environ,) = django.seen
        assert (client.status, client.body, client.headers["content-length"]) == (200, b"answered", "8")
        assert environ["wsgi.input"].read() == b"a=1&b=2"
        assert (environ["CONTENT_LENGTH"], environ["CONTENT_TYPE"]) == ("7", "text/x")
        assert (environ["QUERY_STRING"], environ["PATH_INFO"]) == ("limit=2", "/v1/in\xc3\xa9")
        assert (environ["HTTP_HOST"], environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (
            "desk",
            "127.0.0.1",
            "http",
        )

    def test_no_header_with_an_underscore_and_nothing_that_only_a_proxy_may_say(self):
        django = Django()
        headers = {"x_forwarded_for": "1.2.3.4", "x-forwarded-for": "1.2.3.4", "x-forwarded-proto": "https"}
        headers |= {"x-real-ip": "1.2.3.4", "content_length": "9", "stripe_signature": "t=1", "x-forwarded-host": "a"}
        ask(django, Client("GET", "/", headers=headers))
        (environ,) = django.seen
        assert {name for name in environ if name.startswith("HTTP_")} == {"HTTP_X_REQUEST_ID"}
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["CONTENT_LENGTH"]) == (
            "127.0.0.1",
            "http",
            "0",
        )

    def test_of_a_proxy_of_ours_the_address_and_the_scheme(self, settings):
        settings.TRUSTED_PROXIES = forwarding.proxies("10.0.0.0/8")
        django = Django()
        headers = {"x-forwarded-for": "1.2.3.4, 203.0.113.7", "x-forwarded-proto": "https"}
        ask(django, Client("GET", "/", peer="10.1.2.3", headers=headers))
        assert (django.seen[0]["REMOTE_ADDR"], django.seen[0]["wsgi.url_scheme"]) == ("203.0.113.7", "https")

    def test_a_head_request_is_answered_without_a_body(self):
        client = Client("HEAD", "/")
        ask(Django(), client)
        assert (client.status, client.headers["content-length"], client.body) == (200, "8", b"")

    def test_healthz_reaches_it_not_at_all(self):
        django = Django()
        well, head, wrong = Client("GET", "/healthz"), Client("HEAD", "/healthz"), Client("POST", "/healthz")
        ask(django, well, head, wrong)
        assert [(each.status, each.body) for each in (well, head)] == [(200, b"ok\n"), (200, b"")]
        assert wrong.status == 405 and not django.seen
        assert well.headers["x-request-id"].startswith("req_")


class TestBodies:
    @pytest.mark.parametrize("path", ["/webhooks/stripe", "/v1/invoices/in_1/pay", "/admin/login/"])
    def test_one_that_is_too_large_is_refused_before_it_is_kept(self, settings, path):
        reached = 400 if path == "/webhooks/stripe" else 200  # without a signature
        settings.REQUEST_MAX_BYTES = settings.WEBHOOK_MAX_BYTES = 10
        django = Django()
        promised = Client("POST", path, ends=False, headers={"content-length": 11})
        sent = Client("POST", path, b"123456", b"78901", ends=False)
        fits = Client("POST", path, b"1234567890")
        ask(django, promised, sent, fits)
        assert [each.status for each in (promised, sent, fits)] == [413, 413, reached]
        assert len(django.seen) == (reached == 200) and promised.headers["connection"] == "close"

    def test_a_file_of_a_bank_may_be_larger_and_only_there(self, settings):
        settings.REQUEST_MAX_BYTES, settings.UPLOAD_MAX_BYTES = 10, 20
        django = Django()
        fits = Client("POST", UPLOAD_PATH, b"x" * 20)
        too_large = Client("POST", UPLOAD_PATH, b"x" * 21, ends=False)
        elsewhere = Client("POST", "/admin/invoices/bankstatement/", b"x" * 20, ends=False)
        ask(django, fits, too_large, elsewhere)
        assert [each.status for each in (fits, too_large, elsewhere)] == [200, 413, 413]

    def test_the_address_of_the_upload_is_the_pages(self):
        assert reverse("admin:invoices_bankstatement_upload") == UPLOAD_PATH

    def test_one_that_does_not_come_in_time_is_given_up(self, settings):
        settings.REQUEST_BODY_SECONDS = 0.01
        django = Django()
        never, half = (
            Client("POST", "/v1/invoices", ends=False, headers={"content-length": 5}),
            Client("POST", "/", b"a", ends=False),
        )
        ask(django, never, half)
        assert (never.status, half.status, django.seen) == (408, 408, [])
        assert json.loads(never.body)["error"]["type"] == "invalid_request_error"
        assert never.headers["request-id"] == never.headers["x-request-id"]

    @pytest.mark.parametrize("ends", [True, False])
    def test_one_that_breaks_off_reaches_nobody(self, ends):
        django = Django()
        client = Client("POST", "/webhooks/stripe", b"{}", ends=ends, headers={"content-length": 3})
        client.hang_up()
        ask(django, client)
        assert not client.sent and not django.seen

    def test_of_too_much_at_once_the_oldest_is_given_up_for_the_newest(self, monkeypatch):
        monkeypatch.setattr(serving, "RECEIVED_BYTES", 35)
        django = Django()

        async def run() -> list[Client]:
            server = serving.Server(django)
            slow = [Client("POST", "/", b"a" * 10, ends=False) for _ in range(3)]
            tasks = []
            for client in slow:
                tasks.append(asyncio.create_task(client.ask(server)))
                await asyncio.sleep(0)
            await Client("POST", "/", b"whole!").ask(server)
            await asyncio.wait_for(tasks[0], LIMIT)
            assert not tasks[1].done() and not tasks[2].done()
            for client in slow:
                client.hang_up()
            await asyncio.gather(*tasks)
            assert not server.receiving and not server.received_bytes
            return slow

        first, *others = asynchronous.run(run())
        assert first.status == 503 and first.headers["connection"] == "close" and len(django.seen) == 1
        assert not any(client.sent for client in others)

    def test_of_many_small_ones_none_is_given_up(self):
        """Under load each waits for its turn in the event loop, though all of it has come."""
        django = Django()

        async def run() -> set[int]:
            server = serving.Server(django)
            clients = [Client("POST", "/", b"a", ends=False) for _ in range(150)]
            tasks = [asyncio.create_task(client.ask(server)) for client in clients]
            while len(server.receiving) < len(clients):
                await asyncio.sleep(0)
            for client in clients:
                client.more(b"b", last=True)
            await asyncio.gather(*tasks)
            return {client.status for client in clients}

        assert asynchronous.run(run()) == {200} and len(django.seen) == 150


class TestThreads:
    def test_a_request_that_finds_none_in_time_is_told_to_come_again(self, settings):
        settings.REQUEST_THREADS, settings.REQUEST_WAIT_SECONDS = 1, 0.01
        go_on = threading.Event()
        django = Django(lambda: [go_on.wait(LIMIT) and b"answered"])

        async def run() -> tuple[Client, Client, Client]:
            server = serving.Server(django)
            first = asyncio.create_task(Client("GET", "/v1/invoices").ask(server))
            await asyncio.sleep(0)
            late, health = await Client("GET", "/v1/invoices").ask(server), await Client("GET", "/healthz").ask(server)
            go_on.set()
            return await first, late, health

        first, late, health = asynchronous.run(run())
        assert (first.status, late.status, health.status) == (200, 503, 200)
        assert late.headers["retry-after"] == "5" and json.loads(late.body)["error"]["type"] == "api_error"
        assert len(django.seen) == 1

    def test_webhooks_wait_for_none(self, settings):
        settings.REQUEST_THREADS = 1
        go_on = threading.Event()
        django = Django(lambda: [go_on.wait(LIMIT) and b"answered"])

        async def run() -> Client:
            server = serving.Server(django)
            page = asyncio.create_task(Client("GET", "/").ask(server))
            webhook = await Client("POST", "/webhooks/stripe", b"{}").ask(server)
            go_on.set()
            await page
            return webhook

        assert asynchronous.run(run()).status == 400

    def test_what_takes_too_long_is_answered_and_goes_on(self, settings):
        settings.REQUEST_SECONDS = 0.01
        go_on = threading.Event()
        django = Django(lambda: [go_on.wait(LIMIT) and b"answered"])

        async def run() -> Client:
            server = serving.Server(django)
            client = await Client("POST", "/v1/invoices/in_1/pay", b"").ask(server)
            assert server.under_way
            go_on.set()
            await asyncio.wait(server.under_way, timeout=LIMIT)
            return client

        client = asynchronous.run(run())
        assert client.status == 504 and "goes on" in json.loads(client.body)["error"]["message"]
        assert django.closed.acquire(timeout=LIMIT)

    def test_a_client_that_hangs_up_interrupts_nothing_and_the_end_of_the_process_waits_for_it(self):
        begun, go_on = threading.Event(), threading.Event()

        def answer() -> Any:
            begun.set()
            yield go_on.wait(LIMIT) and b"answered"

        django = Django(answer)

        async def run() -> None:
            server = serving.Server(django)
            task = asyncio.create_task(Client("POST", "/v1/invoices/in_1/pay", b"").ask(server))
            await asyncio.to_thread(begun.wait, LIMIT)
            task.cancel()  # as a server does when the connection ends
            with pytest.raises(asyncio.CancelledError):
                await task
            life, said = asyncio.Queue[Any](), asyncio.Queue[Any]()
            life.put_nowait({"type": "lifespan.startup"})
            life.put_nowait({"type": "lifespan.shutdown"})
            ending = asyncio.create_task(server({"type": "lifespan"}, life.get, said.put))
            assert await said.get() == {"type": "lifespan.startup.complete"}
            await asyncio.sleep(0)
            assert said.empty() and server.under_way
            go_on.set()
            await asyncio.wait_for(ending, LIMIT)
            assert await said.get() == {"type": "lifespan.shutdown.complete"}

        asynchronous.run(run())
        assert django.closed.acquire(timeout=LIMIT)


class TestAnswers:
    def test_a_long_stream_is_whole_before_it_is_sent_and_comes_in_chunks(self):
        django = Django(lambda: (b"x" * 1000 for _ in range(1000)))
        client = Client("GET", "/")
        ask(django, client)
        assert client.body == b"x" * 1_000_000 and client.headers["content-length"] == "1000000"
        assert max(len(message["body"]) for message in client.sent[1:]) <= serving.CHUNK_BYTES
        assert [message["more_body"] for message in client.sent[1:]][-2:] == [True, False]

    def test_one_that_breaks_off_in_the_middle_is_no_200(self):
        def lines() -> Any:
            yield b"half"
            raise RuntimeError("the database is away")

        django, client = Django(lines), Client("GET", "/")
        ask(django, client)
        assert client.status == 500 and b"half" not in client.body
        assert django.closed.acquire(timeout=LIMIT)

    def test_a_client_that_reads_nothing_is_hung_up_on(self, monkeypatch):
        monkeypatch.setattr(serving, "READER_SECONDS", 0.01)
        client = Client("GET", "/")

        async def never(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        client.send = never  # type: ignore[method-assign]
        ask(Django(), client)


class TestForwarding:
    @pytest.mark.parametrize(
        ("trusted", "peer", "forwarded", "address"),
        [
            ("", "10.0.0.1", "203.0.113.7", "10.0.0.1"),
            ("0", "10.0.0.1", "203.0.113.7", "10.0.0.1"),
            ("1", "10.0.0.1", "203.0.113.7", "203.0.113.7"),
            ("1", "10.0.0.1", "1.1.1.1, 203.0.113.7", "203.0.113.7"),
            ("2", "10.0.0.1", "1.1.1.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
            ("2", "10.0.0.1", "203.0.113.7", "10.0.0.1"),
            ("1", "", "203.0.113.7", "203.0.113.7"),
            ("1", "10.0.0.1", "unknown", "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", "1.1.1.1, 203.0.113.7", "203.0.113.7"),
            ("10.0.0.0/8", "203.0.113.9", "1.1.1.1", "203.0.113.9"),
            ("10.0.0.0/8, 192.0.2.7", "192.0.2.7", "1.1.1.1, 203.0.113.7, 10.9.9.9", "203.0.113.7"),
            ("10.0.0.0/8", "10.0.0.1", "10.0.0.9, 10.0.0.2", "10.0.0.9"),
            ("10.0.0.0/8", "10.0.0.1", "1.1.1.1, <script>", "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", "203.0.113.7:5678", "203.0.113.7"),
            ("10.0.0.0/8,2001:db8::/32", "2001:db8::1", "[2001:4860::8]:80", "2001:4860::8"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
            ("10.0.0.0/8", "", "203.0.113.7", ""),
        ],
    )
    def test_the_clients_address(self, trusted, peer, forwarded, address):
        headers = {"x-forwarded-for": forwarded} if forwarded else {}
        assert forwarding.client(peer, headers, forwarding.proxies(trusted))[0] == address

    @pytest.mark.parametrize(
        ("trusted", "peer", "scheme", "over_tls"),
        [
            ("10.0.0.0/8", "10.0.0.1", "https", True),
            ("1", "10.0.0.1", "HTTPS", True),
            ("10.0.0.0/8", "10.0.0.1", "http", False),
            ("10.0.0.0/8", "10.0.0.1", "https,http", False),
            ("10.0.0.0/8", "203.0.113.9", "https", False),
            ("2", "10.0.0.1", "https", False),
            ("", "10.0.0.1", "https", False),
        ],
    )
    def test_the_scheme(self, trusted, peer, scheme, over_tls):
        headers = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": scheme}
        assert forwarding.client(peer, headers, forwarding.proxies(trusted))[1] is over_tls

    @pytest.mark.parametrize("value", ["true", "proxy.internal", "10.0.0.1/8", "-1", "1,10.0.0.0/8"])
    def test_a_setting_that_is_neither_says_what_to_write(self, value):
        with pytest.raises(ImproperlyConfigured, match="Write the networks"):
            forwarding.proxies(value)


class TestWhatIsSentWhileItIsMade:
    """A long download, such as a list of a million rows as a file."""

    class Download(Django):
        def __call__(self, environ: dict[str, Any], start: Any) -> Any:
            response = super().__call__(environ, start)
            response.sent_as_made = True
            return response

    def test_the_first_piece_leaves_before_the_last_is_made(self):
        arrived = threading.Event()

        def pieces():
            yield b"first"
            assert arrived.wait(LIMIT)
            yield b""
            yield b"last"

        class Reader(Client):
            async def send(self, message):
                await super().send(message)
                if message.get("body") == b"first":
                    arrived.set()

        client = Reader("GET", "/admin/download.csv")
        ask(self.Download(pieces), client)
        assert (client.status, client.body) == (200, b"firstlast")
        assert "content-length" not in client.headers
        assert [message["more_body"] for message in client.sent[1:]] == [True, True, False]

    def test_no_more_is_made_than_the_reader_takes(self):
        made = []

        def pieces():
            for number in range(1000):
                made.append(number)
                yield b"x"

        class SlowReader(Client):
            most = 0

            async def send(self, message):
                await super().send(message)
                await asyncio.sleep(0)
                self.most = max(self.most, len(made) - len(self.sent))

        client = SlowReader("GET", "/admin/download.csv")
        ask(self.Download(pieces), client)
        assert len(client.body) == 1000 and client.most <= serving.CHUNKS_WAITING + 2

    def test_what_breaks_off_does_not_end_as_if_it_were_whole(self):
        def pieces():
            yield b"part"
            raise ConnectionError

        django, client = self.Download(pieces), Client("GET", "/admin/download.csv")
        with pytest.raises(serving.BrokenOff):
            ask(django, client)
        assert client.body == b"part" and all(message["more_body"] for message in client.sent[1:])
        assert django.closed.acquire(timeout=LIMIT)

    def test_what_fails_before_its_first_piece_is_a_500(self):
        def pieces():
            raise ConnectionError
            yield b""

        client = Client("GET", "/admin/download.csv")
        ask(self.Download(pieces), client)
        assert client.status == 500

    def test_a_client_that_goes_away_ends_the_making(self):
        made = []

        def pieces():
            while True:
                made.append(1)
                yield b"x"

        class Leaver(Client):
            async def send(self, message):
                await super().send(message)
                if len(self.sent) == 3:
                    self.hang_up()
                await asyncio.sleep(0)

        django = self.Download(pieces)
        ask(django, Leaver("GET", "/admin/download.csv"))
        assert django.closed.acquire(timeout=LIMIT)

    def test_a_reader_that_stops_reading_ends_the_making(self, monkeypatch):
        monkeypatch.setattr(serving, "READER_SECONDS", 0.2)

        class Sleeper(Client):
            async def send(self, message):
                await super().send(message)
                await asyncio.sleep(LIMIT)

        django = self.Download(lambda: iter(lambda: b"x", b""))
        ask(django, Sleeper("GET", "/admin/download.csv"))
        assert django.closed.acquire(timeout=LIMIT)

    def test_beyond_a_quarter_of_the_threads_it_is_made_first(self, settings):
        settings.REQUEST_THREADS = 4
        clients = [Client("GET", "/admin/download.csv") for _ in range(4)]
        ask(self.Download(lambda: [b"a", b"b"]), *clients)
        assert all(client.body == b"ab" for client in clients)
