"""The SMTP server towards the application."""
