"""Django's PostgreSQL, whose pool hands out no connection that the server has closed."""

from __future__ import annotations

import select
from typing import Any

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """As Django's own. Django's way is a round trip for each request (CONN_HEALTH_CHECKS)."""

    def get_new_connection(self, conn_params: Any) -> Any:
        """A connection of the pool that is alive. After the server was away all that are idle are dead, and the first
        one that is found dead empties the pool, so that nobody meets one after the other."""
        while True:
            connection = super().get_new_connection(conn_params)
            pool = self.pool
            if pool is None or not _has_ended(connection):
                return connection
            connection.close()
            pool.drain()
            pool.putconn(connection)  # which makes a new one in its place


def _has_ended(connection: Any) -> bool:
    """Whether the server has said goodbye or hung up. It says nothing else to an idle connection that listens to no
    channel, so something to be read is enough; and looking costs no round trip."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
