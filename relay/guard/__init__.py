"""Limits on what a campaign may send: decided here, asked for by the mail path."""
