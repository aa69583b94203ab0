"""presend's relay: SMTP in, a verdict for each recipient, SMTP out."""
