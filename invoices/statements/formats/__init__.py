"""The files of banks: camt.053, camt.054, MT940 and CSV. Nothing here reads the database."""
