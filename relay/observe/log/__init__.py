"""Log lines on stderr: what happened to mail (EventLog) and to the program (install).

One JSON object, or one line of `key=value`, each: `ts`, `level`, `event`, `campaign`, then the
fields; docs/events.md names them all. A line holds no secret and, unless the operator wants it,
no local part of an address. Nothing here waits for who reads the lines; what is dropped for that
is counted and said.
"""

from relay.observe.log.event_log import EventLog
from relay.observe.log.lines import Format
from relay.observe.log.masking import mask, mask_text
from relay.observe.log.operational import LogHandler, install
from relay.observe.log.writer import LineWriter

__all__ = ["EventLog", "Format", "LineWriter", "LogHandler", "install", "mask", "mask_text"]
