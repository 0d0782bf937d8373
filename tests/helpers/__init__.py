"""What several test modules share: one module per subject. No test module imports another test module."""
