"""`presend serve`: load the settings, and run the relay until SIGTERM or SIGINT."""

import argparse

from relay.commands import FAILED, examples, say
from relay.settings import ServeSettings, dev_settings, load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "--dev",
        action="store_true",
        help="need no settings: listen on 127.0.0.1:2525, keep the mail in a Maildir",
    )
    examples(
        parser,
        "presend serve --dev",
        "PRESEND_UPSTREAM=smtp://192.0.2.25:25 PRESEND_LISTEN=localhost:2525 presend serve",
    )


def main(args: argparse.Namespace) -> int:
    """Run the relay; return the exit code. Raises SettingsError where settings are wrong."""
    settings = dev_settings() if args.dev else load_settings(ServeSettings)
    from relay import app

    try:
        return app.serve(settings, dev=args.dev)
    except app.StartError as error:
        say(f"presend: {error}")
        return FAILED
