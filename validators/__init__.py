"""Judges recipients before mail is sent to them. A library of its own: it knows no SMTP session."""
