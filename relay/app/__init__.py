"""The composition root: the only place that knows every part.

`run` starts and ends `presend serve`; `relay` is what runs; `mail` and `validation` build its two
halves from settings.
"""

from relay.app.errors import StartError
from relay.app.relay import VERSION, Relay
from relay.app.run import serve
from relay.app.validation import Validation, validation

__all__ = ["VERSION", "Relay", "StartError", "Validation", "serve", "validation"]
