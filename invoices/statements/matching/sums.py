"""Which of a customer's invoices add up to an amount: an answer only where there is one."""

from __future__ import annotations

from collections.abc import Sequence

MOST_PARTS = 8  # invoices that one credit pays, where the text does not name them
MOST_STEPS = 20_000  # of one search; a credit for which it takes longer gets no such proposal


def only_sum(amounts: Sequence[int], total: int, most_parts: int = MOST_PARTS) -> tuple[int, ...] | None:
    """The places of 2 to `most_parts` amounts (minor units above zero) with this sum. None where there is no such set,
    or more than one, or too many were tried."""
    order = sorted(range(len(amounts)), key=lambda place: -amounts[place])
    sizes = [amounts[place] for place in order]
    rest = [0] * (len(sizes) + 1)
    for place in range(len(sizes) - 1, -1, -1):
        rest[place] = rest[place + 1] + sizes[place]
    found: list[tuple[int, ...]] = []
    steps = 0

    def search(place: int, left: int, chosen: tuple[int, ...]) -> bool:
        """False ends the search: a second set was found, or too many steps were made."""
        nonlocal steps
        steps += 1
        if steps > MOST_STEPS:
            return False
        if left == 0:
            if len(chosen) > 1:
                found.append(chosen)
            return len(found) < 2
        for at in range(place, len(sizes)):
            if rest[at] < left or len(chosen) == most_parts:
                return True
            if sizes[at] <= left and not search(at + 1, left - sizes[at], (*chosen, order[at])):
                return False
        return True

    return tuple(sorted(found[0])) if search(0, total, ()) and len(found) == 1 else None
