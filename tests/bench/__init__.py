"""The benchmark: presend and other relays on loopback, in one run (`python -m tests.bench`)."""
