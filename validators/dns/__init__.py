"""DNS: messages, transport, the caching resolver and the mail route of a domain."""
