"""A campaign application: sends messages to localhost:25, to both good and bad recipients.

The environment variable BAD sets how many of every 20 recipients are bad.
"""

import itertools
import os
import signal
import smtplib
import sys
import time
from email.message import EmailMessage

BAD = itertools.cycle(
    [
        "gone@customers.example",  # an unknown user: the sink refuses it
        "unsubscribed@customers.example",  # on the suppression list
        "postmaster@customers.example",  # a role account
        "two@@customers.example",  # not a valid address
        "somebody@no-such-domain.invalid",  # the domain does not exist (RFC 6761)
    ]
)
NUMBER = itertools.count(1)


def recipients() -> list[str]:
    """Return the next 20 recipients."""
    bad = int(os.environ["BAD"])
    good = [f"customer{next(NUMBER)}@customers.example" for _ in range(20 - bad)]
    return good + list(itertools.islice(BAD, bad))


def send(session: smtplib.SMTP) -> None:
    """Send one message to 20 recipients, and print each refused recipient with its reply."""
    message = EmailMessage()
    message["From"] = "Shop <news@shop.example>"
    message["Subject"] = "Spring sale"
    message.set_content("Everything must go.")
    refused = session.send_message(message, "news@shop.example", recipients())
    for recipient, (code, text) in refused.items():
        print(f"{recipient}: {code} {text.decode()}")


def main() -> None:
    """Send two messages per second until stopped; after an error connect again in 5 seconds."""
    while True:
        try:
            with smtplib.SMTP("localhost", 25, local_hostname="app.shop.example") as session:
                while True:
                    send(session)
                    time.sleep(0.5)
        except (OSError, smtplib.SMTPException) as error:
            print(f"again in 5 s: {error!s:.200}")
            time.sleep(5)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # PID 1 has no default action for SIGTERM
    main()
