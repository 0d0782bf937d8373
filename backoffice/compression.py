"""Compresses answers for clients that say that they can read it: zstd, else gzip."""

from __future__ import annotations

import re
import secrets
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Protocol

from django.conf import settings
from django.http import HttpRequest
from django.utils.cache import patch_vary_headers

from backoffice.middleware import is_for_api

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdCompressor
else:
    from backports.zstd import ZstdCompressor

# At these levels a page of a hundred invoices takes about a millisecond; higher ones take several for a few per cent.
ZSTD_LEVEL, GZIP_LEVEL = 1, 1
GZIP_WINDOW = 31  # zlib's number for a gzip header around its largest window
MIN_BYTES = 1000  # below, an answer takes one packet in any case
MAX_PADDING = 64  # bytes
MAX_HEADER_LENGTH = 500  # characters of an Accept-Encoding that are read
CONTENT_TYPES = re.compile(r"text/|application/(json|javascript|vnd\.oai\.openapi|xml)|image/svg\+xml|[\w./-]+\+json")

# What a browser is shown there is secret by itself: recovery codes, the key of a second factor, a new API token, the
# signing secret of an endpoint. The length of a compressed page tells whether a text that somebody else had the browser
# send occurs in it once more (the BREACH attack). So these pages are not compressed. Static files
# have nothing secret, and browsers keep them.
#
# In other pages the one secret is the CSRF token, which Django masks anew each time, so that no guess comes twice; a
# session's key stands in no page. What pages say of customers is veiled by a header of random length. The API needs
# none of it: nobody can have somebody else's service send a request.
NEVER = (
    "/account/",
    "/admin/invoices/apitoken/",
    "/admin/invoices/webhookendpoint/",
    "/admin/login/",
)


class Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


COMPRESSORS: dict[str, Callable[[], Compressor]] = {  # the first of those that a client likes best is taken
    "zstd": lambda: ZstdCompressor(level=ZSTD_LEVEL),
    "gzip": lambda: zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW),
}


class CompressionMiddleware:
    """Compresses what is text and more than MIN_BYTES, streams included."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        response = self.get_response(request)
        if response.status_code == HTTPStatus.NOT_MODIFIED:  # says what the answer that it stands for would say
            patch_vary_headers(response, ["Accept-Encoding"])
        if not _may_be_compressed(request, response):
            return response
        patch_vary_headers(response, ["Accept-Encoding"])
        coding = best_coding(request.headers.get("Accept-Encoding", "")[:MAX_HEADER_LENGTH])
        if not coding:
            return response
        compressor = COMPRESSORS[coding]()
        if response.streaming:
            response.streaming_content = _compressed(response.streaming_content, compressor)
            del response.headers["Content-Length"]
        else:
            response.content = compressor.compress(response.content) + compressor.flush()
            response.headers["Content-Length"] = str(len(response.content))
        response.headers["Content-Encoding"] = coding
        if response.headers.get("ETag", "").startswith('"'):  # a browser asks again by the time of the file
            del response.headers["ETag"]
        if not is_for_api(request.path_info):
            response.headers["X-Padding"] = "x" * secrets.randbelow(MAX_PADDING + 1)
        return response


def _may_be_compressed(request: HttpRequest, response: Any) -> bool:
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:  # a part of the bytes as they are
        return False
    if not CONTENT_TYPES.match(response.headers.get("Content-Type", "")) or "Content-Encoding" in response.headers:
        return False
    if request.path_info.startswith(NEVER):
        return False
    if response.headers.get("ETag", "W/").startswith('"'):  # of the bytes as they are
        return request.path_info.startswith(settings.STATIC_URL)
    if response.streaming:
        return not response.is_async
    return len(response.content) >= MIN_BYTES


def _compressed(chunks: Iterable[bytes], compressor: Compressor) -> Iterator[bytes]:
    for chunk in chunks:
        if ready := compressor.compress(chunk):
            yield ready
    yield compressor.flush()


@lru_cache(maxsize=256)  # clients send few different ones
def best_coding(accepted: str) -> str:
    """The coding of COMPRESSORS that an Accept-Encoding header likes best; empty where it accepts none of them."""
    likes: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, parameter = part.strip().partition(";")
        likes[name.strip()] = _quality(parameter)
    best = max(COMPRESSORS, key=lambda name: likes.get(name, likes.get("*", 0.0)))
    return best if likes.get(best, likes.get("*", 0.0)) > 0 else ""


def _quality(parameter: str) -> float:
    """Of `q=0.5`, between 0 and 1; 1 where it is not said, 0 where it is no number."""
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    return float(value) if re.fullmatch(r"\s*[01](\.[0-9]{0,3})?\s*", value) else 0.0
