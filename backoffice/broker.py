"""The broker that needs no server: kombu's file system transport, made safe against half-written messages.

kombu's own writes a message in place, so that a worker may read it while it is still empty, and die of that. Here a
message appears under its name by a rename, when it is whole; and a worker claims it by a rename before it reads it.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from queue import Empty
from time import time_ns
from typing import Any

import kombu.transport
from kombu.transport import filesystem
from kombu.utils.json import dumps, loads


class Channel(filesystem.Channel):
    """One folder, a file a message: `<time>_<random>.<queue>.msg`."""

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:
        folder = Path(self.data_folder_out)
        name = f"{time_ns()}_{uuid.uuid4().hex}.{queue}.msg"
        unfinished = folder / f".{name}"
        unfinished.write_text(dumps(payload))
        unfinished.rename(folder / name)

    def _get(self, queue: str) -> Any:
        folder = Path(self.data_folder_in)
        for name in sorted(os.listdir(folder)):
            if name.startswith(".") or name.partition(".")[2] != f"{queue}.msg":
                continue
            claimed = folder / f".claimed-{name}"
            try:
                (folder / name).rename(claimed)  # one worker wins
            except FileNotFoundError:
                continue
            try:
                return loads(claimed.read_text())
            finally:
                claimed.unlink()
        raise Empty


class Transport(filesystem.Transport):
    Channel = Channel
    polling_interval = 0.1  # seconds a wake-up may wait at most


kombu.transport.TRANSPORT_ALIASES["embedded"] = "backoffice.broker:Transport"
