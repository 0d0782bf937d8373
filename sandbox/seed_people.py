"""Made-up names, e-mail addresses and postal addresses of the planted customers."""

import random

FIRST_NAMES = (
    "Ada Amara Anders Beatriz Bruno Carmen Chidi Dagny Dario Elif Emil Farah Felix Greta Hana Hugo Ines Ivo Jana "
    "Jonas Kaito Karin Lars Leila Luca Maite Malik Mina Nadia Niko Oona Oskar Paola Petra Quentin Rania Rosa "
    "Ruben Saskia Selma Sven Tariq Tessa Ugo Vera Viktor Wanda Xenia Yara Yusuf Zoe Zoltan"
).split()
LAST_NAMES = (
    "Abara Almeida Bakker Bergmann Castellan Dahlgren Duvall Eriksen Ferrante Fontaine Garrido Haddad Halvorsen "
    "Ibarra Ito Jansky Kallas Kimura Lindqvist Lombardi Marchetti Moreau Nakagawa Novak Okafor Olsen Petrov "
    "Quiroga Ramaswamy Rossi Salonen Santoro Schreiber Sorensen Tanaka Tavares Ueda Vasquez Verhoeven Wagner "
    "Yilmaz Zielinski"
).split()
TRADES = (
    "Analytics Bakery Books Ceramics Coffee Cycles Design Energy Films Foods Games Gardens Labs Logistics Music "
    "Optics Press"
).split()
LEGAL_FORMS = "GmbH Ltd Inc SL AB KK LLC SA Oy Co".split()
ADDRESSES = (
    ("Springfield", "US", "1 Main Street", "62701", "IL"),
    ("Musterstadt", "DE", "Musterstrasse 12", "12345", None),
    ("Lyon", "FR", "8 rue de la Source", "69001", None),
    ("Osaka", "JP", "3-1 Example", "530-0001", None),
    ("Kuwait City", "KW", "Block 4, Street 2", "13001", None),
    ("Leeds", "GB", "27 Example Road", "LS1 1AA", None),
)


def name_and_email(dice: random.Random) -> tuple[str, str]:
    """The name of a person or a company, and an e-mail address in a reserved domain."""
    first, last = dice.choice(FIRST_NAMES), dice.choice(LAST_NAMES)
    number = dice.randrange(1, 999)
    if dice.random() < 0.4:
        company = f"{last} {dice.choice(TRADES)} {dice.choice(LEGAL_FORMS)}"
        return company, f"billing{number}@{last.lower()}-{company.split()[1].lower()}.example.com"
    domain = dice.choice(("example.com", "example.org", "mail.example.com"))
    return f"{first} {last}", f"{first.lower()}.{last.lower()}{number}@{domain}"


def address(dice: random.Random) -> dict[str, str | None]:
    city, country, line1, code, state = dice.choice(ADDRESSES)
    return {"city": city, "country": country, "line1": line1, "line2": None, "postal_code": code, "state": state}
