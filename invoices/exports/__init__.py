"""Files that are prepared in the background, for what would be long to wait for.

An `Export` row is written with the wish; a worker claims it, makes its table and stores the file beside it in the
database, piece by piece. What can be prepared is registered as a kind (`kinds.py`): the lists by `invoices.admin`.
"""

from invoices.exports.files import Gone, pieces
from invoices.exports.kinds import CannotPrepare, Made, register
from invoices.exports.upkeep import cancel, remove, remove_all, tend
from invoices.exports.wishes import TooMany, ask
from invoices.exports.worker import run_due

__all__ = [
    "CannotPrepare",
    "Gone",
    "Made",
    "TooMany",
    "ask",
    "cancel",
    "pieces",
    "register",
    "remove",
    "remove_all",
    "run_due",
    "tend",
]
