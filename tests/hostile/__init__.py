"""Hostile clients and peers against a relay, and what others notice (`python -m tests.hostile`)."""
