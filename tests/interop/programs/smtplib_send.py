"""Python's smtplib: `sendmail` with a whole message, as often as COUNT says, on one connection."""

import os
import smtplib
import ssl
import time
from pathlib import Path


def send(client: smtplib.SMTP, recipients: list[str], message: bytes) -> None:
    """Send once, and print what the call returned or raised."""
    options = ["SMTPUTF8"] if any(not address.isascii() for address in recipients) else []
    if client.has_extn("8bitmime"):
        options.append("BODY=8BITMIME")
    try:
        refused = client.sendmail(os.environ["SENDER"], recipients, message, options)
        print(f"sendmail() returned {refused!r}")
    except smtplib.SMTPException as error:
        print(f"{type(error).__name__}{error.args!r}")


def main() -> None:
    """Connect, log in if there is a user, and send."""
    try:
        client = smtplib.SMTP("127.0.0.1", int(os.environ["PORT"]), "app.example", timeout=60)
    except smtplib.SMTPException as error:
        print(f"{type(error).__name__}{error.args!r}")
        return
    with client:
        client.ehlo()
        if user := os.environ.get("SMTP_USER"):
            client.starttls(context=ssl.create_default_context(cafile=os.environ["CA_FILE"]))
            client.login(user, os.environ["SMTP_PASSWORD"])
        message = Path(os.environ["MESSAGE"]).read_bytes()
        for number in range(int(os.environ["COUNT"])):
            time.sleep(number and float(os.environ["PAUSE"]))
            send(client, os.environ["RECIPIENTS"].split(","), message)


if __name__ == "__main__":
    main()
