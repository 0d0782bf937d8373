"""Exits with 0 when the web process of this container answers /healthz with 200. For HEALTHCHECK in the Dockerfile."""

import http.client
import os
import sys


def answers(port: int, host: str) -> bool:
    """`host`: the name that the request asks for, one of DJANGO_ALLOWED_HOSTS."""
    server = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        server.request("GET", "/healthz", headers={"Host": host})
        return server.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        server.close()


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    allowed = os.environ.get("DJANGO_ALLOWED_HOSTS", "").split(",")[0].strip()
    sys.exit(0 if answers(port, allowed or "localhost") else 1)
