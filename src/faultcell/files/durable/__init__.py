"""Outputs written whole or not at all, and sealed."""
