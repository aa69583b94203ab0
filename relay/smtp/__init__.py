"""SMTP on both sides: the session with the application, the connection to the upstream."""
