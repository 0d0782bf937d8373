"""Events for the company's own services: which endpoints there are, what is owed to each, and the sending of it.

owed.py         what is to be sent: written with the mirror, taken by a worker, recorded, sent again
worker.py       sends it: a few threads for each endpoint, so that none waits for another
addresses.py    where nothing is sent to: addresses inside, unless a setting allows them
signing.py      the signing secrets, and the signature in Stripe's scheme
endpoints.py    made, changed, disabled, deleted; journalled
desk_events.py  events of ours: what operations came to
"""
