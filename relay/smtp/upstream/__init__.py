"""The SMTP client towards the upstream: connections, their pool, deliveries."""
