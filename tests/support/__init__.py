"""Helpers that tests share: SMTP clients, real servers, and servers that misbehave."""
