"""Events of the mail path, and the log lines, metrics and page sections made of them."""
