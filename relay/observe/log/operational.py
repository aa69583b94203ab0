"""What the program itself has to say, through the standard library's logging."""

import logging
from typing import Final

from relay.observe.log.lines import Format, Lines
from relay.observe.log.masking import mask_text
from relay.observe.log.writer import LineWriter

TALKATIVE: Final = ("aiohttp", "aiosmtplib", "asyncio", "mail")
"""Libraries that log every command at a low level, and addresses with it (`mail` is aiosmtpd)."""

CLOSE_TIMEOUT: Final = 1.0
"""Seconds the end of the program waits for the last lines to be read."""


class LogHandler(logging.Handler):
    """Sends records to the same writer as events, in the same shape; never blocks."""

    def __init__(
        self, writer: LineWriter, *, campaign: str, form: Format = "json", masked: bool = True
    ) -> None:
        super().__init__()
        self._writer = writer
        self._masked = masked
        self._lines = Lines(form, campaign)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            self._writer.write(self.format(record).encode("ascii"))
        except Exception:  # noqa: BLE001 -- as every handler of the library does
            self.handleError(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with a traceback, if there is one, as one of its fields."""
        fields = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = _FORMATTER.formatException(record.exc_info)
        shape = self._lines.shape(record.levelname.lower(), "log", tuple(fields))
        texts = map(mask_text, fields.values()) if self._masked else fields.values()
        return shape(self._lines.stamp(record.created), tuple(map(self._lines.quote, texts)))

    def close(self) -> None:
        """Wait a moment for the last lines; the library calls this at exit."""
        self._writer.close(CLOSE_TIMEOUT)
        super().close()


_FORMATTER: Final = logging.Formatter()


def install(
    writer: LineWriter,
    *,
    campaign: str,
    level: str = "info",
    form: Format = "json",
    masked: bool = True,
) -> LogHandler:
    """Make the root logger write to `writer`, and nowhere else, from `level` up.

    Python's warnings come the same way. Libraries in TALKATIVE are heard from `warning` up only.
    """
    handler = LogHandler(writer, campaign=campaign, form=form, masked=masked)
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, LogHandler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(capture=True)
    return handler
