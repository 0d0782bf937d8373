"""Whether the payer of a credit and the customer of an invoice have the same name, as banks and people write it."""

from __future__ import annotations

import re
import unicodedata
from enum import IntEnum

from invoices.statements.matching.spelling import one_mistake


class Likeness(IntEnum):
    OTHER = 0
    UNKNOWN = 1  # one of them has no name
    RELATED = 2  # a word, but each has another one too: of two people or companies with one name
    PARTLY = 3  # a word, and nothing says otherwise, such as a family's name alone
    SAME = 4


# Legal forms, titles and joining words: they tell nobody from anybody.
_NOISE = frozenset(
    """
    gmbh mbh ag kg kgaa co cie ohg gbr ug ev eg se ek inh inc incorporated llc llp lp ltd limited plc corp corporation
    company bv nv vof sa sas sarl eurl sci sl slu sp spa srl snc sprl bvba oy oyj ab as aps asa hf kft zrt sro doo zoo
    sp z pty pte pvt kk gk haftungsbeschrankt herr frau mr mrs ms miss mme mlle dr prof dipl ing mag und and et e y en
    og the von van de der den la le du di da fa firma familie family eheleute cv ca
    """.split()
)
# Many companies have these in their names: alone they are no likeness.
_COMMON = frozenset(
    """
    holding group gruppe groep groupe service services international deutschland germany europe europa consulting
    beratung solutions software media medien design digital trading handel handels verwaltung verwaltungs beteiligung
    beteiligungs system systems systeme technology technologies technik studio shop online store bank praxis kanzlei
    catering print druck energie energy metallbau solar optik optics dental elektro garten auto
    immobilien logistics logistik partner partners management marketing agentur agency global world bau customer kunde
    client company vertrieb vertriebs verlag hotel restaurant apotheke stadt gemeinde
    """.split()
)
_FREE_MAIL = frozenset(
    "gmail googlemail outlook hotmail live yahoo icloud gmx web freenet aol proton protonmail posteo mail example test "
    "orange free laposte libero wanadoo t-online".split()
)
MOST_BEGINNINGS = 8
_CUT_OFF_AT = 20  # characters: banks cut a name off at 27 or 35, with its blanks and legal form
_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "æ": "a", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "œ": "o", "ı": "i"})


def words(name: str) -> list[str]:
    """The words that tell a name from others. `Müller`, `Mueller` and `MULLER` are one word: banks write all three."""
    plain = unicodedata.normalize("NFKD", name.lower().translate(_LETTERS))
    plain = plain.encode("ascii", "ignore").decode()
    plain = re.sub(r"(?<=[b-df-hj-np-tv-z])([aou])e", r"\1", re.sub(r"\b([aou])e", r"\1", plain))
    plain = re.sub(r"\b(?:[a-z]\.){2,}", lambda short: short[0].replace(".", "") + " ", plain)  # g.m.b.h. → gmbh
    return [word for word in re.findall(r"[a-z0-9]+", plain) if word not in _NOISE]


def likeness(payer: str, customer: str, email: str = "") -> Likeness:
    """Of the payer's name with the customer's, or where that says nothing with the customer's e-mail address."""
    by_name = _of_words(words(payer), words(customer))
    if by_name >= Likeness.RELATED or not email:
        return by_name
    by_email = _of_email(words(payer), email)
    return by_email if by_email == Likeness.PARTLY else by_name


def _of_words(payer: list[str], customer: list[str]) -> Likeness:
    if not payer or not customer:
        return Likeness.UNKNOWN
    one, other = "".join(payer), "".join(customer)
    if one == other or (len(one) >= _CUT_OFF_AT and other.startswith(one)):
        return Likeness.SAME
    few, many = sorted((payer, list(customer)), key=len)
    left, alone, telling, found = list(many), list[str](), 0, 0
    for word in few:
        partner = next((each for each in left if _alike(word, each)), None)
        if partner is None:
            alone.append(word)
            continue
        left.remove(partner)
        found += 1
        telling += _tells(word) and len(partner) > 2
    if not telling:
        return Likeness.OTHER
    if found == len(few) and (found >= 2 or len(many) == 1):
        return Likeness.SAME
    return Likeness.RELATED if alone and left else Likeness.PARTLY


def _tells(word: str) -> bool:
    return len(word) > 2 and word not in _COMMON and not word.isdigit()


def _alike(one: str, other: str) -> bool:
    if one == other:
        return True
    if min(len(one), len(other)) == 1:  # an initial
        return one[0] == other[0] and not one.isdigit()
    return min(len(one), len(other)) >= 5 and not one.isdigit() and one_mistake(one, other)


def _of_email(payer: list[str], email: str) -> Likeness:
    local, _at, domain = email.lower().partition("@")
    company = domain.rpartition(".")[0].rpartition(".")[2] or domain
    told = set(re.findall(r"[a-z]{4,}", local)) | ({company} if company not in _FREE_MAIL else set())
    known = {word for word in payer if len(word) >= 4 and word not in _COMMON}
    return Likeness.PARTLY if known & {word for each in told for word in words(each)} else Likeness.OTHER


def beginnings(payer: str) -> list[str]:
    """How the customer's name may begin, in small letters as the mirror keeps it: both orders of the first two words,
    with and without umlauts, which many banks write as two letters. At most MOST_BEGINNINGS."""
    said = [word for word in re.findall(r"[\w&'-]+", payer.lower()) if word not in _NOISE]
    if not said or len("".join(said)) < 4:
        return []
    orders = [said[:2], said[1::-1]] if len(said) > 1 else [said]
    found: dict[str, None] = {}
    for first, *second in orders:
        for one in _spellings(first):
            for other in _spellings(second[0]) if second else [""]:
                found[f"{one} {other}".strip()] = None
    return list(found)[:MOST_BEGINNINGS]


def _spellings(word: str) -> list[str]:
    pairs = (("ae", "ä"), ("oe", "ö"), ("ue", "ü"), ("ss", "ß"))
    found = [word]
    for two, one in pairs:
        for old, new in ((two, one), (one, two)):
            found += [each.replace(old, new) for each in found if old in each]
    return list(dict.fromkeys(found))[:3]
