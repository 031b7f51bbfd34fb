"""The HTTP API and the guard before it."""
