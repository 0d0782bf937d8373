"""Compressed answers: for whom, of what, by which coding; never where a secret stands in a page."""

from __future__ import annotations

import gzip
import json
import sys
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import StreamingHttpResponse
from django.test import Client, RequestFactory

from backoffice.compression import CompressionMiddleware, best_coding
from invoices.models import ApiToken
from tests.factories import InvoiceObject, stored

if sys.version_info >= (3, 14):
    from compression.zstd import decompress
else:
    from backports.zstd import decompress

READERS: dict[str, Any] = {"gzip": gzip.decompress, "zstd": decompress, "": bytes}


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", ""),
        ("identity", ""),
        ("br", ""),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("zstd;q=0.5, gzip;q=0.4", "zstd"),
        ("zstd;q=0, gzip", "gzip"),
        ("gzip;q=0", ""),
        ("*", "zstd"),
        ("*;q=0", ""),
        ("zstd;q=0, *", "gzip"),
        ("gzip;q=2", ""),
        ("gzip;q=x", ""),
        ("gzip ; q = 0.3", "gzip"),
        (",;,=,q=1", ""),
    ],
)
def test_the_coding_that_a_client_likes_best(accepted: str, coding: str) -> None:
    assert best_coding(accepted) == coding


@pytest.fixture
def ask(agent: User) -> Any:
    key = ApiToken.objects.create(user=agent, name="a service")[1]

    def get(path: str, accepted: str) -> Any:
        return Client().get(path, headers={"Authorization": f"Bearer {key}", "Accept-Encoding": accepted})

    return get


@pytest.mark.django_db
class TestTheApi:
    @pytest.mark.parametrize("coding", READERS)
    def test_the_same_bytes_however_they_come(self, ask: Any, coding: str) -> None:
        for number in range(20):
            stored(InvoiceObject(id=f"in_{number}", customer_name="Zoë \U0001f9fe"))
        plain = ask("/v1/invoices?limit=20", "").content
        answer = ask("/v1/invoices?limit=20", coding)
        assert READERS[coding](answer.content) == plain and len(json.loads(plain)["data"]) == 20
        assert answer.headers.get("Content-Encoding", "") == coding
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert not coding or len(answer.content) < len(plain) / 4
        assert int(answer.headers.get("Content-Length", len(plain))) == len(answer.content)

    def test_a_short_answer_stays_as_it_is(self, ask: Any) -> None:
        answer = ask("/v1/invoices", "gzip, zstd")
        assert "Content-Encoding" not in answer.headers and json.loads(answer.content)["data"] == []


def test_a_stream_is_compressed_as_a_whole() -> None:
    rows = [f"row {number} of many\n".encode() for number in range(5000)]
    made = StreamingHttpResponse(iter(rows), content_type="text/csv; charset=utf-8")
    request = RequestFactory().get("/admin/x.csv", headers={"Accept-Encoding": "zstd"})
    answer = CompressionMiddleware(lambda _: made)(request)
    chunks = list(answer.streaming_content)
    assert decompress(b"".join(chunks)) == b"".join(rows)
    assert answer.headers["Content-Encoding"] == "zstd" and len(chunks) < 20


@pytest.mark.django_db
class TestPages:
    def test_a_page_is_compressed_and_its_length_veiled(self, desk: Client) -> None:
        page = desk.get("/admin/invoices/invoice/", headers={"Accept-Encoding": "gzip"})
        assert page.headers["Content-Encoding"] == "gzip" and b"<html" in gzip.decompress(page.content)
        assert "X-Padding" in page.headers

    def test_pages_with_a_secret_are_not_compressed(self, client: Client, manager: User) -> None:
        client.force_login(manager)
        for path in (
            "/admin/invoices/apitoken/add/",
            "/admin/invoices/webhookendpoint/add/",
            "/account/2fa/",
            "/admin/login/",
        ):
            answer = client.get(path, headers={"Accept-Encoding": "gzip, zstd"})
            assert "Content-Encoding" not in answer.headers, path

    def test_so_are_style_sheets_and_scripts(self, client: Client) -> None:
        for path in ("/static/invoices/desk.css", "/static/invoices/desk.js"):
            plain = client.get(path).getvalue()
            answer = client.get(path, headers={"Accept-Encoding": "gzip, zstd"})
            assert answer.status_code == 200 and answer.headers["Content-Encoding"] == "zstd"
            assert "Content-Length" not in answer.headers and READERS["zstd"](answer.getvalue()) == plain
            part = client.get(path, headers={"Accept-Encoding": "gzip, zstd", "Range": "bytes=0-1999"})
            assert part.status_code == 206 and part.getvalue() == plain[:2000]
            assert "Content-Encoding" not in part.headers
            unchanged = {"Accept-Encoding": "zstd", "If-Modified-Since": answer.headers["Last-Modified"]}
            assert "ETag" not in answer.headers and client.get(path, headers=unchanged).status_code == 304

    def test_fonts_are_compressed_already(self, client: Client) -> None:
        answer = client.get("/static/unfold/fonts/inter/Inter-Regular.woff2", headers={"Accept-Encoding": "zstd"})
        assert answer.status_code == 200 and "Content-Encoding" not in answer.headers
