"""Certificates for tests: one authority per test session, and TLS contexts for both ends."""

import ssl
from pathlib import Path

import trustme

NAMES = ("localhost", "127.0.0.1", "upstream.example")


class Certificates:
    """A trusted authority with a server certificate, and a certificate of another authority."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        good = authority.issue_cert(*NAMES)
        self.ca_file = directory / "ca.pem"
        self.cert_file = directory / "cert.pem"
        self.key_file = directory / "key.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        for index, blob in enumerate(good.cert_chain_pems):
            blob.write_to_path(self.cert_file, append=index > 0)
        good.private_key_pem.write_to_path(self.key_file)
        self._authority = authority
        self._good = good

    def server(self) -> ssl.SSLContext:
        """A server context with a certificate for NAMES, signed by the authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._good.configure_cert(context)
        return context

    def stranger(self) -> ssl.SSLContext:
        """A server context with a certificate signed by an unknown authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert(*NAMES).configure_cert(context)
        return context

    def misnamed(self) -> ssl.SSLContext:
        """A server context with a valid certificate for another host name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("elsewhere.example").configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        """A client context that trusts the authority."""
        return ssl.create_default_context(cafile=str(self.ca_file))
