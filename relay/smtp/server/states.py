"""The states of an SMTP session, and which event leads from one to the next (RFC 5321 4.1.4).

A command is in sequence where its event is in the table for the state at hand. docs/architecture.md
draws the table.
"""

from __future__ import annotations

import enum
from typing import Final


class State(enum.IntEnum):
    """Where a session stands."""

    NEW = enum.auto()
    """Neither EHLO nor HELO was given."""
    READY = enum.auto()
    """No transaction is open."""
    SENDER = enum.auto()
    """MAIL waits for the verdict on the sender, or for the gate."""
    MAIL = enum.auto()
    """MAIL was accepted."""
    GROUP = enum.auto()
    """A group of RCPTs, DATA or BDAT waits for its replies."""
    CONTENT = enum.auto()
    """The content after DATA is being received."""
    CHUNK = enum.auto()
    """The content of a BDAT chunk is being received."""
    EARLY_CHUNK = enum.auto()
    """The content of a chunk that came before EHLO is being read over."""
    CHUNKS = enum.auto()
    """A chunk was received; the next BDAT may follow."""
    FINAL = enum.auto()
    """The end of the content was sent on; its final reply is awaited."""
    AUTH_HELD = enum.auto()
    """AUTH waits, because earlier attempts from the same address failed."""
    AUTH = enum.auto()
    """The client answers the challenges of AUTH."""
    TLS = enum.auto()
    """The TLS handshake is under way."""
    CLOSED = enum.auto()
    """Nothing more is read."""


class Event(enum.IntEnum):
    """What moves a session from one state to the next."""

    GREETED = enum.auto()
    """EHLO or HELO; it ends an open transaction."""
    MAIL = enum.auto()
    ACCEPTED = enum.auto()
    """The sender is accepted."""
    REFUSED = enum.auto()
    """The sender is refused."""
    ASKED = enum.auto()
    """RCPTs, DATA or the first BDAT were sent to the upstream."""
    ANSWERED = enum.auto()
    """The replies to the group are known, and no content follows."""
    BEGUN = enum.auto()
    """DATA was answered with 354."""
    CHUNK = enum.auto()
    """A BDAT chunk follows."""
    CHUNK_ENDED = enum.auto()
    """The chunk is complete, and was not the last."""
    SENT = enum.auto()
    """The content is complete and was sent on."""
    ENDED = enum.auto()
    """The transaction ended: final reply, fault in the content, RSET."""
    AUTH = enum.auto()
    AUTH_BEGUN = enum.auto()
    """AUTH need not wait any longer."""
    AUTH_ENDED = enum.auto()
    STARTTLS = enum.auto()
    SECURED = enum.auto()


_S, _E = State, Event

NEXT: Final[dict[tuple[State, Event], State]] = {
    (_S.NEW, _E.GREETED): _S.READY,
    (_S.NEW, _E.ENDED): _S.NEW,
    (_S.NEW, _E.CHUNK): _S.EARLY_CHUNK,
    (_S.EARLY_CHUNK, _E.ENDED): _S.NEW,
    (_S.NEW, _E.STARTTLS): _S.TLS,
    (_S.READY, _E.GREETED): _S.READY,
    (_S.READY, _E.ENDED): _S.READY,
    (_S.READY, _E.MAIL): _S.SENDER,
    (_S.READY, _E.CHUNK): _S.CHUNK,
    (_S.READY, _E.AUTH): _S.AUTH_HELD,
    (_S.READY, _E.STARTTLS): _S.TLS,
    (_S.SENDER, _E.ACCEPTED): _S.MAIL,
    (_S.SENDER, _E.REFUSED): _S.READY,
    (_S.MAIL, _E.GREETED): _S.READY,
    (_S.MAIL, _E.ENDED): _S.READY,
    (_S.MAIL, _E.ASKED): _S.GROUP,
    (_S.MAIL, _E.CHUNK): _S.CHUNK,
    (_S.GROUP, _E.ANSWERED): _S.MAIL,
    (_S.GROUP, _E.BEGUN): _S.CONTENT,
    (_S.GROUP, _E.CHUNK): _S.CHUNK,
    (_S.CONTENT, _E.SENT): _S.FINAL,
    (_S.CONTENT, _E.ENDED): _S.READY,
    (_S.CHUNK, _E.CHUNK_ENDED): _S.CHUNKS,
    (_S.CHUNK, _E.SENT): _S.FINAL,
    (_S.CHUNK, _E.ENDED): _S.READY,
    (_S.CHUNKS, _E.GREETED): _S.READY,
    (_S.CHUNKS, _E.ENDED): _S.READY,
    (_S.CHUNKS, _E.CHUNK): _S.CHUNK,
    (_S.FINAL, _E.ENDED): _S.READY,
    (_S.AUTH_HELD, _E.AUTH_BEGUN): _S.AUTH,
    (_S.AUTH, _E.AUTH_ENDED): _S.READY,
    (_S.TLS, _E.SECURED): _S.NEW,
}
"""Every transition but the one to CLOSED, which may come from anywhere."""

WAITING: Final = frozenset({_S.SENDER, _S.GROUP, _S.FINAL, _S.AUTH_HELD, _S.TLS})
"""States in which the client has to wait, and nothing is read from it."""
RECEIVING: Final = frozenset({_S.CONTENT, _S.CHUNK, _S.EARLY_CHUNK})
"""States in which octets are content."""

COMMANDS: Final[dict[bytes, Event | None]] = {
    b"EHLO": Event.GREETED,
    b"HELO": Event.GREETED,
    b"STARTTLS": Event.STARTTLS,
    b"AUTH": Event.AUTH,
    b"MAIL": Event.MAIL,
    b"RCPT": Event.ASKED,
    b"DATA": Event.ASKED,
    b"BDAT": Event.CHUNK,
    b"RSET": Event.ENDED,
    b"NOOP": None,
    b"VRFY": None,
    b"EXPN": None,
    b"HELP": None,
    b"QUIT": None,
}
"""The event that each command causes; a command without one is in sequence in every state."""

JUNK: Final = frozenset({b"EHLO", b"HELO", b"RSET", b"NOOP", b"VRFY", b"EXPN", b"HELP"})
"""Commands that carry no message; too many of them count as bad commands."""
