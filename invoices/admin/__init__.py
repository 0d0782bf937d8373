"""The back office's pages: read-only lists of the mirror and the journal, and the confirmed actions. Thin."""
