"""DNS: a caching resolver, and the mail route of a domain."""

from validators.dns.cache import Stats
from validators.dns.mail_route import (
    Hosts,
    MailRoute,
    NoDomain,
    NoHost,
    NullMx,
    Unknown,
    Unroutable,
)
from validators.dns.resolver import Resolver
from validators.dns.transport import DOUBTS
from validators.dns.wire import Answer, Failed, Found, Missing, Mx, Type

__all__ = [
    "DOUBTS",
    "Answer",
    "Failed",
    "Found",
    "Hosts",
    "MailRoute",
    "Missing",
    "Mx",
    "NoDomain",
    "NoHost",
    "NullMx",
    "Resolver",
    "Stats",
    "Type",
    "Unknown",
    "Unroutable",
]
