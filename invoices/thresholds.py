"""From when on something is late, stale, expired or given up, and how long a claim, a cooldown or an overlap lasts.

Other periods stand with the code that they belong to: the margins of Stripe's clock in snapshot.py; the retries of
events in sync.py, of reads in gateway.py, of runs in reconcile/retry.py; timeouts, the greatest age of a webhook's
signature and the life of an API token in backoffice/settings.py; the life of a message in backoffice/broker.py.
"""

from datetime import timedelta

# --- what people are told ---------------------------------------------------------------------------------------------
EVENT_LATE = timedelta(seconds=30)  # an event that waits longer than this is shown on lists and on the home page
RECONCILIATION_LATE = timedelta(hours=26)  # the home page warns: last night's run is missing
COVERAGE_LATE = timedelta(days=29)  # the home page warns: parts of a full run are missing, one night's and more
CATCH_UP_LATE = timedelta(hours=1)  # the home page warns: no catch-up has finished, of four
PROOF_LATE = timedelta(days=8)  # the home page warns: this week's proof is missing

# --- when /readyz answers 503 -----------------------------------------------------------------------------------------
WORKER_SILENT = timedelta(minutes=1)
EVENT_STUCK = timedelta(minutes=5)
RECONCILIATION_STALE = timedelta(hours=36)  # a night's run is missing, and there was half a day to mend it
COVERAGE_STALE = timedelta(days=35)  # a week longer than it takes to compare everything: parts fail again and again
CATCH_UP_STALE = timedelta(hours=6)  # what webhooks lose is not made up for
PROOF_STALE = timedelta(days=15)  # two weeks' proofs are missing

# --- operations -------------------------------------------------------------------------------------------------------
OPERATION_LEASE = timedelta(minutes=2)  # a process that works on an operation or a batch renews its claim within this
READY_FORGOTTEN = timedelta(minutes=2)  # a ready operation that nobody took: its process died, or its wake-up was lost
# In which an operation may be sent, or sent again. After it, one that was never sent expires, and a manager says what
# came of one that was sent and could not be settled.
RESEND_WINDOW = timedelta(hours=1)
DECLINE_COOLDOWN = timedelta(hours=1)  # after a decline the same card is not charged again within this
# In which a person who asks for the same again is asked whether she means it (operations/repeats.py).
REPEATED_FORM = timedelta(hours=1)  # the same amount on the same invoice, whatever else was typed
REPEATED_RECORD = timedelta(days=90)  # a payment that was recorded, with the same reference, or the same day and amount
NEWEST_STATE_LATE = timedelta(minutes=2)  # after an operation: the page no longer waits for the state that it led to
FIRST_SETTLING_AFTER = timedelta(seconds=3)  # the first look at an unknown outcome
LOOK_INTERVALS = tuple(timedelta(seconds=seconds) for seconds in (3, 5, 10, 20))  # then; the last one goes on
LOOK_INTERVAL_OF_MANUAL = timedelta(minutes=5)  # while a manager is to say what came of it
EVENTS_LISTED_AFTER = timedelta(seconds=20)  # Stripe's list of events may lag: before this its silence means nothing
EFFECT_MARGIN = timedelta(minutes=5)  # after the answer to a request: its event has a stamp before this, if it has one
STAMP_LAG = timedelta(minutes=1)  # by which an event's stamp may lie before what the event tells of
# Looks at a charge on which a bank decides; the last one goes on. Stripe's event makes a look at once.
BANK_LOOK_INTERVALS = (timedelta(seconds=20), timedelta(minutes=5), timedelta(hours=1), timedelta(hours=6))
BANK_OVERDUE = timedelta(days=14)  # a bank that takes longer is shown first, and a manager may say what came of it
# An operation that was asked for longer ago than this, and of which no sending is on record, may have been sent all the
# same: the database may have been restored to an older state in between. Not more than READY_FORGOTTEN and
# OPERATION_LEASE, so that it holds for everything that settling takes over.
RESTORED_AFTER = timedelta(minutes=2)
PAUSE_AT_MOST = timedelta(days=7)  # a pause that ends by itself; a longer one is resumed by somebody
REQUEST_EXPIRES = timedelta(days=7)  # a request that waits for a second person

# --- promises to pay --------------------------------------------------------------------------------------------------
PROMISE_GRACE = timedelta(minutes=15)  # after its day: the event of a payment made on that day may come so late

# --- e-mails ----------------------------------------------------------------------------------------------------------
MAIL_LEASE = timedelta(minutes=5)  # for a worker that sends an e-mail; if it dies, another one sends it after this
FIRST_EMAIL_RETRY = timedelta(seconds=30)  # after an e-mail that could not be sent; then twice as long each time
LAST_EMAIL_RETRY = timedelta(hours=1)  # the longest wait between two attempts
EMAIL_GIVEN_UP = timedelta(days=3)  # an e-mail that fails for this long is given up, and waits for a person
EMAIL_KEPT = timedelta(days=14)  # after it was sent or given up, the row of an e-mail is removed

# --- files that are prepared in the background ------------------------------------------------------------------------
EXPORT_LEASE = timedelta(minutes=2)  # for a worker that prepares a file; if it dies, another one begins anew after this
EXPORT_RETRY = timedelta(seconds=30)  # after an error that nobody expected, the file is begun anew
EXPORT_KEPT = timedelta(hours=24)  # after it became ready, a file is removed
EXPORT_LINK_LASTS = timedelta(hours=1)  # the link on an export's page; the page has a new one whenever it is opened
EXPORT_LISTED = timedelta(days=30)  # after it was asked for, the row of a file is removed

# --- events for services ----------------------------------------------------------------------------------------------
DELIVERY_LEASE = timedelta(minutes=1)  # for a worker that sends an event; if it dies, another one sends it after this
FIRST_DELIVERY_RETRY = timedelta(seconds=10)  # after an event that was not taken; then twice as long each time
LAST_DELIVERY_RETRY = timedelta(hours=3)  # the longest wait between two attempts
DELIVERY_GIVEN_UP = timedelta(days=3)  # an event that is not taken for this long is given up, and waits for a person
ENDPOINT_GIVEN_UP = timedelta(days=3)  # an endpoint of which every attempt fails for this long is disabled
LONGEST_ENDPOINT_REST = timedelta(minutes=5)  # between two attempts at an endpoint that does not answer; first 1 s
# An event is sent when the refetch that its object waits for was performed, and at the latest after this.
REFETCH_AWAITED = timedelta(minutes=5)
SECRET_OVERLAP = timedelta(hours=24)  # for which the replaced secret of an endpoint signs too, unless said otherwise
DELIVERY_KEPT = timedelta(days=30)  # after it ended, the row of a delivery is removed
DESK_EVENT_KEPT = timedelta(days=30)  # after it was made, an event of ours is removed

# --- the account ------------------------------------------------------------------------------------------------------
KEY_CHECK_LASTS = timedelta(days=1)  # after which Stripe is asked again whose the API key is
KEY_REMEMBERED = timedelta(minutes=1)  # for which a process does not look again, in the database, whether it is right

# --- mirror and reconciliation ----------------------------------------------------------------------------------------
REFETCH_DELAY = timedelta(seconds=2)  # so that one scheduled refetch covers a burst of events
REFETCH_LEASE = timedelta(seconds=60)  # for a worker that refetches; if it dies, the refetch comes due again after it
FIRST_REFETCH_RETRY = timedelta(seconds=5)  # after a refetch that failed; then twice as long after each further one
LAST_REFETCH_RETRY = timedelta(hours=1)  # the longest wait between two attempts
# The same where Stripe did not answer, which is seldom the object's fault: when it answers again, all are read soon.
LAST_UNANSWERED_RETRY = timedelta(minutes=1)
REFETCH_GIVEN_UP = timedelta(days=1)  # a refetch that fails for this long is given up, and waits for a person
PAYMENTS_DELAY = timedelta(seconds=10)  # in which the events of a final invoice's payments mostly come
LONGEST_REST = timedelta(seconds=30)  # between two rounds of refetches while Stripe does not answer; the first is 1 s
# A run that gave no sign of life for this long counts as dead. The next run that it would exclude closes it, and goes
# on with it if it is to do the same.
RUN_SILENT = timedelta(minutes=3)
# The next run goes on with one that did not finish only if that began less long ago than this. What it had compared
# counts as compared, so a sweep goes on within its night, and tomorrow's compares everything anew. A full run of
# millions of objects may need several nights. A catch-up that begins anew loses nothing but requests.
SWEEP_GOES_ON = timedelta(hours=12)
FULL_GOES_ON = timedelta(days=3)
CATCH_UP_GOES_ON = timedelta(days=1)
RECENT = timedelta(days=30)  # what was created within this is compared by every sweep
EVENT_ARRIVES = timedelta(seconds=5)  # a proof looks again at what seemed to differ when its event has had this long
CATCH_UP_OVERLAP = timedelta(hours=1)  # by which a catch-up begins before the one before it began

# --- reading ----------------------------------------------------------------------------------------------------------
SEARCH_PLANNED = timedelta(seconds=1)  # a search that its indexes have not answered by then walks through the rows
SEARCH_PAGE = timedelta(seconds=5)  # a page that such a walk has begun to fill is given after this, full or not
SEARCH_GIVEN_UP = timedelta(seconds=30)  # a walk that has found nothing for this long is refused
FIND_LOOK_UP = timedelta(seconds=1)  # for each kind of object that the search in the header looks for

REPORT_LOOK = timedelta(seconds=10)  # that a page may read for a report; a longer one is prepared in the background
LONG_LIST_LOOK = timedelta(seconds=1)  # in which it is found out whether a list is a long one, before it is downloaded

# --- tallies ----------------------------------------------------------------------------------------------------------
TALLIES_LATE = timedelta(minutes=2)  # the home page warns: what it counts is older than this
TALLIED_DAYS = 35  # for which charges and recovered invoices are counted by their day
