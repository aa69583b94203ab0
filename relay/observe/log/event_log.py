"""The event sink that writes events of the mail path as log lines."""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from relay.observe.events import (
    Batch,
    Event,
    Message,
    Recipient,
    ReplyReceived,
    UpstreamFault,
)
from relay.observe.log.lines import Format, Lines
from relay.observe.log.masking import mask, mask_text
from relay.observe.log.writer import LineWriter
from relay.observe.metrics import Registry, counter

_logger = logging.getLogger(__name__)

LOG_DROPPED: Final = counter(
    "presend_log_dropped_total", "Log lines dropped because they were not read fast enough"
)


def dropped_lines(
    form: Format, campaign: str, clock: Callable[[], float] = time.time
) -> Callable[[int], bytes]:
    """Return a function that formats the line which says how many lines were dropped."""
    lines = Lines(form, campaign)
    line = lines.shape("warning", "log_dropped", ("lines",))
    return lambda number: line(lines.stamp(clock()), (number,)).encode("ascii")


LONGEST_TEXT: Final = 1000
"""Characters of a reply or an error that are logged."""

_HEAD: Final = Recipient._fields.index("verdict")
"""The fields before it differ from line to line; many lines share the values of the others."""
_MOST_TAILS: Final = 1024
"""Bound of the cache of ends of recipients' lines."""


class EventLog:
    """An event sink that writes a line for each event, the lines of a batch in one piece.

    When the writer has to drop lines, it drops the Message lines of transactions in which content
    was received last: a client that floods can make any number of all others.

    Levels: Recipient and Message are `info`; UpstreamFault is `warning`, and `error` when a
    certificate was refused; ReplyReceived is `debug`, since a refusal is in the other lines too.
    """

    def __init__(
        self,
        writer: LineWriter,
        *,
        campaign: str,
        level: str = "info",
        form: Format = "json",
        masked: bool = True,
    ) -> None:
        self._writer = writer
        self._mask = mask if masked else str
        self._mask_text = mask_text if masked else str
        self._least = logging.getLevelNamesMapping()[level.upper()]
        lines = self._lines = Lines(form, campaign)
        self._quote = lines.quote
        self._recipient_head = lines.head("info", "recipient", Recipient._fields[:_HEAD])
        self._recipient_tail = lines.tail(Recipient._fields[_HEAD:])
        self._tails: dict[tuple[object, ...], str] = {}
        self._as_message = lines.shape("info", "message", Message._fields)
        self._as_reply = lines.shape("debug", "upstream_reply", ReplyReceived._fields)
        self._as_fault = lines.shape("warning", "upstream_fault", UpstreamFault._fields)
        self._as_refused_certificate = lines.shape("error", "upstream_fault", UpstreamFault._fields)
        formats: dict[type, tuple[int, Callable[[str, Any], str]]] = {
            Recipient: (logging.INFO, self._recipient),
            Message: (logging.INFO, self._message),
            ReplyReceived: (logging.DEBUG, self._reply),
            UpstreamFault: (logging.ERROR, self._fault),
        }
        self._formats = {
            kind: form for kind, (level, form) in formats.items() if level >= self._least
        }

    def register(self, registry: Registry) -> None:
        """Register the metric of dropped lines."""
        registry.read(LOG_DROPPED, lambda: self._writer.dropped)

    def take(self, batch: Batch) -> None:
        """Hand the lines of all events of the batch to the writer."""
        formats = self._formats
        lines = [
            self._line(seconds, event) for seconds, event in batch if event.__class__ in formats
        ]
        marks = [
            type(event) is Message and event.size > 0
            for _, event in batch
            if event.__class__ in formats
        ]
        if "" in lines:  # an event that is not logged, or cannot be formatted
            marks = [mark for mark, line in zip(marks, lines, strict=True) if line]
            lines = [line for line in lines if line]
        if lines:
            self._writer.write("".join(lines).encode("ascii"), bytes(marks))

    def _line(self, seconds: float, event: Event) -> str:
        try:
            return self._formats[event.__class__](self._lines.stamp(seconds), event)
        except Exception:
            self._writer.lose(1)
            _logger.exception("An event cannot be logged")
            return ""

    def _text(self, text: str) -> str:
        """Quote text that a client or an upstream wrote."""
        return self._quote(self._mask_text(text)[:LONGEST_TEXT] if text else "")

    def _recipient(self, stamp: str, event: Recipient) -> str:
        said = event[_HEAD:]
        tail = self._tails.get(said)
        if tail is None:
            tail = self._recipient_end(event)
            if not event.detail:  # without a detail there are few different ends: keep them
                if len(self._tails) >= _MOST_TAILS:
                    self._tails.clear()
                self._tails[said] = tail
        quote = self._quote
        return (
            self._recipient_head(stamp, (quote(event.message_id), quote(self._mask(event.address))))
            + tail
        )

    def _recipient_end(self, event: Recipient) -> str:
        """Return the end of the line, from the field after the address on."""
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

    def _reply(self, stamp: str, event: ReplyReceived) -> str:
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
