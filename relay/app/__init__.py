"""The composition root: the only package that knows every part.

`process` is the shell of a long-running command; `serve` builds the relay on it, and `validation`
the validators.
"""

from relay.app.errors import StartError
from relay.app.process import VERSION, Process
from relay.app.serve import Relay, serve
from relay.app.validation import Validation, policy, validation

__all__ = [
    "VERSION",
    "Process",
    "Relay",
    "StartError",
    "Validation",
    "policy",
    "serve",
    "validation",
]
