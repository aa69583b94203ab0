"""Django's EmailMessage over its SMTP backend, on one connection."""

import importlib
import os
import time
from pathlib import Path

# By name, as Django is not a dependency of the project: the command installs it elsewhere.
django = importlib.import_module("django")
mail = importlib.import_module("django.core.mail")

importlib.import_module("django.conf").settings.configure(
    EMAIL_HOST="127.0.0.1",
    EMAIL_PORT=int(os.environ["PORT"]),
    EMAIL_USE_TLS="SMTP_USER" in os.environ,
    EMAIL_HOST_USER=os.environ.get("SMTP_USER", ""),
    EMAIL_HOST_PASSWORD=os.environ.get("SMTP_PASSWORD", ""),
    EMAIL_TIMEOUT=60,
    DEFAULT_CHARSET="utf-8",
)
django.setup()


def main() -> None:
    """Send COUNT messages, and print what `send` returned or raised."""
    connection = mail.get_connection()
    for number in range(int(os.environ["COUNT"])):
        time.sleep(number and float(os.environ["PAUSE"]))
        message = mail.EmailMessage(
            os.environ["SUBJECT"],
            Path(os.environ["TEXT"]).read_text(encoding="utf-8"),
            os.environ["SENDER"],
            os.environ["RECIPIENTS"].split(","),
            connection=connection,
        )
        message.attach_file(os.environ["ATTACHMENT"])
        try:
            if not number:
                connection.open()
            print(f"send() returned {message.send()!r}")
        except OSError as error:
            print(f"{type(error).__name__}{error.args!r}")


if __name__ == "__main__":
    main()
