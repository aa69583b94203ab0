"""The event sink that writes what happened to mail as log lines."""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from relay.observe.events import Event, Message, Recipient, UpstreamFault, UpstreamReply
from relay.observe.log.lines import Format, Lines
from relay.observe.log.masking import mask, mask_text
from relay.observe.log.writer import LineWriter

_logger = logging.getLogger(__name__)

LONGEST_TEXT: Final = 1000
"""Characters of a reply or an error that are logged."""

_HEAD: Final = Recipient._fields.index("verdict")
"""Fields of a recipient's line that differ from line to line; most lines share the rest."""
_MOST_TAILS: Final = 1024
"""Ends of recipients' lines that are kept."""


class EventLog:
    """Keeps events until `flush` and then writes their lines at once.

    An event costs the mail path an append. At most `capacity` events are kept; more are dropped
    and counted, and the next flush that gets through logs how many were lost.

    Levels: Recipient and Message are `info`; UpstreamFault is `warning`, and `error` when a
    certificate was refused; UpstreamReply is `debug`, since a refusal is in the other lines.
    """

    def __init__(
        self,
        writer: LineWriter,
        *,
        campaign: str,
        level: str = "info",
        form: Format = "json",
        masked: bool = True,
        capacity: int = 20_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._capacity = capacity
        self._clock = clock
        self._events: list[tuple[float, Event]] = []
        self._overflown = 0
        self._reported = 0
        self._mask = mask if masked else str
        self._mask_text = mask_text if masked else str
        self._least = logging.getLevelNamesMapping()[level.upper()]
        lines = self._lines = Lines(form, campaign)
        self._quote = lines.quote
        self._recipient_head = lines.head("info", "recipient", Recipient._fields[:_HEAD])
        self._recipient_tail = lines.tail(Recipient._fields[_HEAD:])
        self._tails: dict[tuple[object, ...], str] = {}
        self._as_message = lines.shape("info", "message", Message._fields)
        self._as_reply = lines.shape("debug", "upstream_reply", UpstreamReply._fields)
        self._as_fault = lines.shape("warning", "upstream_fault", UpstreamFault._fields)
        self._as_refused_certificate = lines.shape("error", "upstream_fault", UpstreamFault._fields)
        self._as_dropped = lines.shape("warning", "log_dropped", ("lines",))
        formats: dict[type, tuple[int, Callable[[str, Any], str]]] = {
            Recipient: (logging.INFO, self._recipient),
            Message: (logging.INFO, self._message),
            UpstreamReply: (logging.DEBUG, self._reply),
            UpstreamFault: (logging.ERROR, self._fault),
        }
        self._formats = {
            kind: form for kind, (level, form) in formats.items() if level >= self._least
        }

    @property
    def dropped(self) -> int:
        """Lines dropped so far, here and by the writer."""
        return self._overflown + self._writer.dropped

    def emit(self, event: Event) -> None:
        """Keep an event for the next flush."""
        if event.__class__ in self._formats:
            if len(self._events) < self._capacity:
                self._events.append((self._clock(), event))
            else:
                self._overflown += 1

    def flush(self) -> None:
        """Hand the lines of all events kept to the writer, in one piece."""
        if self._events:
            events, self._events = self._events, []
            lines = [self._line(seconds, event) for seconds, event in events]
            self._writer.write("".join(lines).encode("ascii"), len(lines))
        dropped = self.dropped
        if dropped > self._reported:
            stamp = self._lines.stamp(self._clock())
            line = self._as_dropped(stamp, (dropped - self._reported,))
            if self._writer.write(line.encode("ascii"), 0):
                self._reported = dropped

    def _line(self, seconds: float, event: Event) -> str:
        try:
            return self._formats[event.__class__](self._lines.stamp(seconds), event)
        except Exception:
            self._overflown += 1
            _logger.exception("An event cannot be logged")
            return ""

    def _text(self, text: str) -> str:
        """Quote text that somebody else wrote."""
        return self._quote(self._mask_text(text)[:LONGEST_TEXT] if text else "")

    def _recipient(self, stamp: str, event: Recipient) -> str:
        said = event[_HEAD:]
        tail = self._tails.get(said)
        if tail is None:
            tail = self._recipient_end(event)
            if not event.detail:  # then it is one of few, and the next recipient's too
                if len(self._tails) >= _MOST_TAILS:
                    self._tails.clear()
                self._tails[said] = tail
        quote = self._quote
        return (
            self._recipient_head(stamp, (quote(event.message_id), quote(self._mask(event.address))))
            + tail
        )

    def _recipient_end(self, event: Recipient) -> str:
        """Return all that follows the address."""
        quote, detail = self._quote, event.detail
        return self._recipient_tail(
            (
                quote(event.verdict),
                quote(event.reason),
                self._text(detail and detail.replace(event.address, self._mask(event.address))),
                self._lines.quote_list(event.observed),
                event.code,
                event.upstream_code,
                quote(event.enhanced),
                quote(event.provider),
            )
        )

    def _message(self, stamp: str, event: Message) -> str:
        quote = self._quote
        return self._as_message(
            stamp,
            (
                quote(event.message_id),
                quote(self._mask(event.sender)),
                quote(event.result),
                event.code,
                quote(event.stage),
                quote(event.upstream),
                event.recipients,
                event.size,
                f"{event.seconds:.6f}",
                f"{event.validation_seconds:.6f}",
                self._text(event.reply),
            ),
        )

    def _reply(self, stamp: str, event: UpstreamReply) -> str:
        quote = self._quote
        stage, code, provider, enhanced = event
        return self._as_reply(stamp, (quote(stage), code, quote(provider), quote(enhanced)))

    def _fault(self, stamp: str, event: UpstreamFault) -> str:
        if not event.certificate and self._least > logging.WARNING:
            return ""
        shape = self._as_refused_certificate if event.certificate else self._as_fault
        certificate = "true" if event.certificate else "false"
        quote = self._quote
        return shape(
            stamp, (quote(event.stage), quote(event.upstream), self._text(event.error), certificate)
        )
