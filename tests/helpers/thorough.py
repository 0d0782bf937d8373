"""How much of what is drawn by chance the suite plays: a little in every `make test`, more where THOROUGH=1 (CI)."""

import os

THOROUGH = os.environ.get("THOROUGH") == "1"
