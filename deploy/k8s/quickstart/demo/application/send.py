"""A campaign application: sends message after message to localhost:25, a mixed list of recipients.

BAD says how many of every 20 recipients are bad ones.
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
        "gone@customers.example",  # the sink does not know it
        "unsubscribed@customers.example",  # on the suppression list
        "postmaster@customers.example",  # a role account
        "two@@customers.example",  # no address at all
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
    """Send one message, and say who was refused."""
    message = EmailMessage()
    message["From"] = "Shop <news@shop.example>"
    message["Subject"] = "Spring sale"
    message.set_content("Everything must go.")
    refused = session.send_message(message, "news@shop.example", recipients())
    for recipient, (code, text) in refused.items():
        print(f"{recipient}: {code} {text.decode()}")


def main() -> None:
    """Send for ever, two messages a second; whatever presend could not pass on comes again."""
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # process 1 has no default for it
    main()
