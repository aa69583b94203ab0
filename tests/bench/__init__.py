"""The benchmark: presend beside its peers, on loopback, in one run (`python -m tests.bench`)."""
