"""The program's own log: records of the standard library's logging as lines."""

import logging
from typing import Final

from relay.observe.log.lines import Format, Lines
from relay.observe.log.masking import mask_text
from relay.observe.log.writer import LineWriter

TALKATIVE: Final = ("aiohttp", "aiosmtplib", "asyncio", "mail")
"""Libraries whose debug records hold commands and addresses (`mail` is aiosmtpd)."""

CLOSE_TIMEOUT: Final = 1.0
"""Seconds that the program waits at its end for the last lines to be written."""


class LogHandler(logging.Handler):
    """Writes records to the same writer as events, in the same format; never blocks."""

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
        except Exception:  # noqa: BLE001 -- as the handlers of the standard library do
            self.handleError(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback is one of its fields."""
        fields = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = _FORMATTER.formatException(record.exc_info)
        shape = self._lines.shape(record.levelname.lower(), "log", tuple(fields))
        texts = map(mask_text, fields.values()) if self._masked else fields.values()
        return shape(self._lines.stamp(record.created), tuple(map(self._lines.quote, texts)))

    def close(self) -> None:
        """Wait for the last lines, CLOSE_TIMEOUT at most; `logging` calls this at exit."""
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
    """Make the root logger write to `writer` from `level` up, and return its handler.

    A handler that was installed earlier is removed. Python's warnings are logged too. Libraries in
    TALKATIVE are logged from `warning` up only.
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
