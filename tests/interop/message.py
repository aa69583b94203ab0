"""The message of the trials, and the comparison of what arrived with what was sent."""

import email
import email.policy
import re
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

SENDER = "spring@app.example"  # not a role account: bounces to it pass through presend too
_LONG = "long line: " + "x" * 980  # with its CRLF 993 of the 1,000 octets of RFC 5321 4.5.3.1.6
_FROM = "From here on"  # changed by programs that store messages as mbox does
_LINES = (
    "Gr\u00fc\u00dfe, \u043f\u0440\u0438\u0432\u0435\u0442, \u3053\u3093\u306b\u3061\u306f",
    ".",
    "..",
    ".hidden",
    "",
    _LONG,
    _FROM,
    "the end.",
)
TEXT = "\n".join(_LINES) + "\n"
ATTACHMENT = bytes(range(256)) * 40


@dataclass(frozen=True, slots=True)
class Files:
    """The message in a directory: whole (for programs that send raw messages), and in parts."""

    whole: Path  # lines end in CR LF
    text: Path  # lines end in LF
    attachment: Path


def write(directory: Path, subject: str) -> Files:
    """Write the message: UTF-8 text with dots and a long line, as 8bit, and an attachment."""
    message = EmailMessage(policy=email.policy.SMTP.clone(cte_type="8bit"))
    message["From"] = SENDER
    message["To"] = "subscribers@example.com"
    message["Subject"] = subject
    message["Date"] = "Tue, 24 Nov 2026 12:00:00 +0000"
    message["Message-ID"] = f"<{subject}@app.example>"
    message.set_content(TEXT, cte="8bit")
    message.add_attachment(
        ATTACHMENT, maintype="application", subtype="octet-stream", filename="all-octets.bin"
    )
    files = Files(*(directory / name for name in ("message.eml", "text.txt", "all-octets.bin")))
    files.whole.write_bytes(message.as_bytes())
    files.text.write_text(TEXT, encoding="utf-8", newline="\n")
    files.attachment.write_bytes(ATTACHMENT)
    return files


def without_received(content: bytes) -> bytes:
    """Return a content without its first header field, which is presend's Received."""
    field = re.match(rb"Received:[^\n]*\n(?:[ \t][^\n]*\n)*", content)
    return content[field.end() :] if field else content


def parts_differ(content: bytes) -> str:
    """Return what differs between the text and attachment of a content and those given, or ""."""
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    text, attachment = b"", b""
    for part in parsed.walk():
        if part.is_multipart():
            continue
        payload = part.get_payload(decode=True)
        if not isinstance(payload, bytes):
            return "a part cannot be decoded"
        if part.get_content_type() == "text/plain" and not text:
            text = payload
        elif part.get_content_maintype() != "text":
            attachment = payload
    if difference := _text_differs(text.decode("utf-8", "replace")):
        return difference
    return "" if attachment == ATTACHMENT else "the attachment"


def _text_differs(text: str) -> str:
    """Say which lines of the text are missing, by what distinguishes them."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    if lines == list(_LINES):
        return ""
    if len(lines) > len(_LINES) and lines[: len(_LINES)] == list(_LINES):
        return "the text, by lines added at its end"
    if [line.rstrip("\r") for line in lines] == list(_LINES):
        return "the line ends of the text"
    missing = [line for line in _LINES if line not in lines]
    kinds = {
        "lines that begin with a dot": all(line.startswith(".") for line in missing),
        f"the line of {len(_LONG)} octets": missing == [_LONG],
        "the line that begins with From": missing == [_FROM],
    }
    return next((name for name, holds in kinds.items() if missing and holds), "the text")
