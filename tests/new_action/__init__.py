"""An action that does not exist, added to a copy of the project in one file, to see that all else follows from it."""
