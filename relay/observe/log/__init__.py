"""Log lines on stderr: events of the mail path (EventLog), and the program's own log (install).

A line is a JSON object or `key=value` pairs: `ts`, `level`, `event`, `campaign`, then the fields of
its kind; docs/events.md documents them all. No line holds a secret or, unless the operator wants
it, the local part of an address. Nothing waits for the reader of the lines: when they are not read
in time, the oldest are dropped and counted, and the count is logged in their place.
"""

from relay.observe.log.event_log import EventLog, dropped_lines
from relay.observe.log.lines import Format, Lines
from relay.observe.log.masking import mask, mask_text
from relay.observe.log.operational import LogHandler, install
from relay.observe.log.writer import LineWriter

__all__ = [
    "EventLog",
    "Format",
    "LineWriter",
    "Lines",
    "LogHandler",
    "dropped_lines",
    "install",
    "mask",
    "mask_text",
]
