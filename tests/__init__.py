"""The tests: modules by name, journeys over HTTP, the sandbox on its own."""
