"""The exit codes of all commands, for the scripts that call them.

| command                          | 0                   | 1                 | 3                          | 4          |
| -------------------------------- | ------------------- | ----------------- | -------------------------- | ---------- |
| reconcile                        | nothing differed    | the run failed    | drift found and healed     | drift left |
| reconcile --verify               | proved equal        | the run failed    | not equal                  |            |
| perform                          | succeeded           | refused or failed | unknown, or needs approval |            |
| demo                             | ended by the person | did not come up   |                            |            |
| pause, resume, pauses            | done                | refused           |                            |            |
| api_token                        | done                | refused           |                            |            |
| journal verify                   | the chain holds     | not walked        | broken                     |            |
| archive_events                   | done                | not all archived  |                            |            |
| erase_customer                   | done                | refused, or cut   |                            |            |
| replay_events, retry_refetches   | done                | failed            |                            |            |
| settle_operations                | done                | failed            |                            |            |
| account                          | done                | refused           |                            |            |
| webhook_endpoint                 | done                | refused           |                            |            |
| remove_foreign                   | done, or previewed  | a named row left  |                            |            |
| statement                        | all taken           | one was refused   |                            |            |
| month_end                        | can be closed       | not closed        | something is open          |            |
| changes                          | all was told        | not all recorded  |                            |            |
| report                           | all was written     | could not be read |                            |            |

2 is the usage error of every command. Ctrl-C ends any command but `demo` with 130, as a shell expects.
"""

from invoices.reconcile import CLEAN, DRIFT_HEALED, DRIFT_LEFT

DONE = 0
FAILED = 1  # also what Django's CommandError exits with
USAGE_ERROR = 2  # also what argparse exits with
OUTCOME_PENDING = 3  # of `perform`
CHAIN_BROKEN = 3  # of `journal verify`
RECONCILED = frozenset({CLEAN, DRIFT_HEALED, DRIFT_LEFT})  # of `reconcile`: the run finished, whatever it found
