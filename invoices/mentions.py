"""Mentions: `@name` in a note asks a colleague to look at it. The admin shows them as that colleague's queue."""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from invoices import clock, colleagues
from invoices.models import Mention, NoteVersion
from invoices.operations import Invalid

MOST_IN_A_NOTE = 20
MOST_COUNTED = 100  # a queue that is longer is shown as "100 or more"

# What stands before the @ of an e-mail address or of another address is no blank and no bracket.
NAMED = re.compile(r"(?<![\w.+\-@/:=&%#~])@([\w.+\-@]{1,200})")
AT_THE_END = ".+-@"  # such a mark may end a name, or the sentence


def names_in(text: str) -> list[str]:
    """What follows each @ that begins a word, as written, once each: `Ask @jo.doe.` → `jo.doe.`."""
    return list({name.casefold(): name for name in NAMED.findall(text) if name.strip(AT_THE_END)}.values())


def follow(version: NoteVersion, before: str) -> None:
    """Mentions whom this version names anew, and withdraws what waits for those whom it names no more.

    In the transaction that writes the version. `before`: what the note said until now. Raises Invalid for a new name
    that nobody has.
    """
    names, known = names_in(version.text), {name.casefold() for name in names_in(before)}
    people = _people(names, known)
    waiting = Mention.objects.filter(note=version.note_id, read_at=None, withdrawn_at=None)
    if before:
        for mention in waiting.exclude(person__in=list(people)):
            Mention.objects.filter(pk=mention.pk, read_at=None, withdrawn_at=None).update(withdrawn_at=clock.now())
    there = set(waiting.values_list("person", flat=True)) if before else set()
    for person, is_new in people.items():
        if is_new and person not in there:
            Mention.objects.create(note=version.note, version=version, person_id=person, made_at=version.written_at)


def _people(names: Iterable[str], known: set[str]) -> dict[int, bool]:
    """The ids of those who are named, and whether the name is new. A name that stood there before may be nobody's."""
    found: dict[int, bool] = {}
    names = list(names)
    called = colleagues.each_called({each for name in names for each in _beginnings(name)})
    for name in names:
        is_new = name.casefold() not in known
        person = next((called[each] for each in _beginnings(name) if each in called), None)
        if person is None and is_new:
            raise Invalid(
                "text",
                _("Nobody who could read this is called @{name}. Choose another name, or leave out the @.").format(
                    name=name.rstrip(AT_THE_END)[:150]
                ),
            )
        if person is not None:
            found[person.pk] = found.get(person.pk, True) and is_new
    if len(found) > MOST_IN_A_NOTE:
        raise Invalid(
            "text",
            _("A note mentions at most {most} people; this one mentions {count}.").format(
                most=MOST_IN_A_NOTE, count=len(found)
            ),
        )
    return found


def _beginnings(name: str) -> list[str]:
    """A name may end with a mark, and so may a sentence: what can be meant, of which the longest name that somebody has
    is."""
    shortest = len(name.rstrip(AT_THE_END))
    return [name[:length] for length in range(len(name), max(shortest, 1) - 1, -1)]


def waiting_for(person: User) -> QuerySet[Mention]:
    """Those that the person is not done with, newest first."""
    found = Mention.objects.filter(person=person.pk, read_at=None, withdrawn_at=None)
    return found.order_by("-made_at", "-id")


def done_by(person: User) -> QuerySet[Mention]:
    """Those that the person is done with, the last one first."""
    return Mention.objects.filter(person=person.pk, read_at__isnull=False).order_by("-read_at")


def count_for(person: User) -> int:
    """How many wait for the person; at most MOST_COUNTED."""
    return len(waiting_for(person).values_list("pk", flat=True)[:MOST_COUNTED])


def done(mention: int, person: User) -> bool:
    """The person is done with it; False where there is no such mention of the person. It can be said again."""
    own = Mention.objects.filter(pk=mention, person=person.pk)
    own.filter(read_at=None, withdrawn_at=None).update(read_at=clock.now())
    return own.exists()
