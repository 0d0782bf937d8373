"""One mistake of typing: a wrong, missing, added or swapped character."""

from __future__ import annotations

from collections.abc import Iterator


def one_mistake(one: str, other: str) -> bool:
    """Whether exactly one mistake lies between two texts."""
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    if len(one) > len(other):
        one, other = other, one
    place = next((at for at, character in enumerate(one) if character != other[at]), len(one))
    if len(one) < len(other):
        return one[place:] == other[place + 1 :]
    swapped = one[place + 1 : place + 2] + one[place : place + 1] == other[place : place + 2]
    return one[place + 1 :] == other[place + 1 :] or (swapped and one[place + 2 :] == other[place + 2 :])


def with_one_mistake(key: str, places: int = 8) -> Iterator[str]:
    """The keys that differ from this one by one mistake in the digits among its last places."""
    for at in range(max(0, len(key) - places), len(key)):
        if not key[at].isdigit():
            continue
        before, digit, after = key[:at], key[at], key[at + 1 :]
        yield before + after
        for other in "0123456789":
            yield before + other + digit + after
            if other != digit:
                yield before + other + after
        if after[:1].isdigit() and after[0] != digit:
            yield before + after[0] + digit + after[1:]
    if key[-1:].isdigit():
        yield from (key + other for other in "0123456789")
