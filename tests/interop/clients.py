"""The clients that are programs of their own or libraries, one row each.

A library is called by a small program in programs/, which prints what the library returned or
raised.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.interop.install import CACHE, NPM, PYTHON, Needs
from tests.interop.message import SENDER, Files
from tests.interop.stand import LOGIN

PROGRAMS = Path(__file__).parent / "programs"
_LIMIT = 90.0  # seconds for one run of a client
_JARS = "/usr/share/java/javax.mail.jar:/usr/share/java/javax.activation.jar"


@dataclass(frozen=True, slots=True)
class Job:
    """What a client shall send: `count` messages to all recipients, `pause` seconds apart."""

    port: int
    recipients: Sequence[str]
    files: Files
    ca_file: Path
    login: bool = False
    count: int = 1
    pause: float = 0.0

    def environment(self) -> dict[str, str]:
        """Return the job as variables for the programs of this package."""
        found = {
            "PORT": str(self.port),
            "SENDER": SENDER,
            "RECIPIENTS": ",".join(self.recipients),
            "SUBJECT": "interoperability",
            "MESSAGE": str(self.files.whole),
            "TEXT": str(self.files.text),
            "ATTACHMENT": str(self.files.attachment),
            "COUNT": str(self.count),
            "PAUSE": str(self.pause),
            "CA_FILE": str(self.ca_file),
        }
        if self.login:
            found |= {"SMTP_USER": LOGIN[0], "SMTP_PASSWORD": LOGIN[1]}
        return found


@dataclass(frozen=True, slots=True)
class Program:
    """A client that sends when it is run, and has no queue."""

    name: str
    used: str  # how it is used, for the page
    version: Sequence[str]  # a command that prints the version
    words: Callable[[Job], Sequence[str]]
    needs: Needs = field(default_factory=Needs)
    prepare: Sequence[str] = ()  # a command that compiles it
    reads_stdin: bool = False  # the whole message
    keeps: bool = True  # can send several messages on one connection
    pattern: str = r"\d+(?:\.\d+)+\S*"  # of the version in what the command prints

    queues: bool = False

    def told_version(self) -> str:
        """Return the version that the program itself tells."""
        done = subprocess.run(
            self.version, capture_output=True, text=True, timeout=_LIMIT, check=False
        )
        found = re.search(self.pattern, done.stdout + done.stderr)
        return found[0] if found else "unknown"

    def send(self, job: Job) -> str:
        """Run the program; return what it printed, and its exit code unless that is 0."""
        home = {
            "SSL_CERT_FILE": str(job.ca_file),
            "HOME": str(job.files.whole.parent),
            "NODE_PATH": str(NPM / "node_modules"),
        }
        done = subprocess.run(
            self.words(job),
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **home, **job.environment()},
            input=job.files.whole.read_bytes() if self.reads_stdin else None,
            stdin=None if self.reads_stdin else subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIMIT,
            check=False,
        )
        output = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
        return f"exit code {done.returncode}\n{output}" if done.returncode else output

    def flush(self) -> None:
        """Do nothing: there is no queue."""

    def waiting(self) -> str:
        """Return an empty text: there is no queue."""
        return ""


def _script(*words: str) -> Callable[[Job], Sequence[str]]:
    return lambda _job: words


def _msmtp(job: Job) -> Sequence[str]:
    words = ["msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={job.port}"]
    if job.login:
        words += ["--auth=plain", f"--user={LOGIN[0]}", f"--passwordeval=echo {LOGIN[1]}"]
        words += ["--tls=on", "--tls-starttls=on", f"--tls-trust-file={job.ca_file}"]
    return [*words, f"--from={SENDER}", "--", *job.recipients]


def _curl(*more: str) -> Callable[[Job], Sequence[str]]:
    def words(job: Job) -> Sequence[str]:
        login: list[str] = []
        if job.login:
            login = ["--ssl-reqd", "--cacert", str(job.ca_file), "--user", ":".join(LOGIN)]
        to = [word for each in job.recipients for word in ("--mail-rcpt", each)]
        file = ["--upload-file", str(job.files.whole), "--mail-from", SENDER]
        url = f"smtp://127.0.0.1:{job.port}/app.example"
        return ["curl", "--silent", "--show-error", *more, *login, *file, *to, url]

    return words


def _swaks(job: Job) -> Sequence[str]:
    login = ["--tls", "--auth=PLAIN", f"--auth-user={LOGIN[0]}", f"--auth-password={LOGIN[1]}"]
    to = ",".join(job.recipients)
    where = ["--server=127.0.0.1", f"--port={job.port}", f"--from={SENDER}", f"--to={to}"]
    data = ["--silent=2", f"--data=@{job.files.whole}"]
    return ["swaks", "--helo=app.example", *where, *data, *(login if job.login else [])]


def _python(module: str) -> str:
    return f"import importlib.metadata as m; print(m.version({module!r}))"


_INTEROP_PYTHON = str(PYTHON / "bin" / "python")
_JAVA = CACHE / "java"
_GO = CACHE / "netsmtp"
_PHPMAILER = "libphp-phpmailer/autoload.php"

PROGRAMS_TRIED: Sequence[Program] = (
    Program(
        "msmtp",
        "`msmtp` with its arguments",
        ("msmtp", "--version"),
        _msmtp,
        Needs(debian=("msmtp",)),
        reads_stdin=True,
        keeps=False,
    ),
    Program(
        "curl",
        "`--mail-rcpt` for each recipient",
        ("curl", "--version"),
        _curl(),
        Needs(debian=("curl=curl",)),
        keeps=False,
    ),
    Program(
        "curl allowing failures",
        "the same with `--mail-rcpt-allowfails`",
        ("curl", "--version"),
        _curl("--mail-rcpt-allowfails"),
        Needs(debian=("curl=curl",)),
        keeps=False,
    ),
    Program(
        "swaks",
        "`swaks --data @FILE`",
        ("swaks", "--version"),
        _swaks,
        Needs(debian=("swaks", "libnet-ssleay-perl")),
        keeps=False,
    ),
    Program(
        "smtplib",
        "Python's `SMTP.sendmail`",
        (sys.executable, "--version"),
        _script(sys.executable, str(PROGRAMS / "smtplib_send.py")),
    ),
    Program(
        "Django",
        "`EmailMessage.send` with the SMTP backend",
        (_INTEROP_PYTHON, "-c", _python("django")),
        _script(_INTEROP_PYTHON, str(PROGRAMS / "django_send.py")),
        Needs(pypi=("django==5.2.19",)),
    ),
    Program(
        "Nodemailer",
        "`sendMail` of a pooled transport",
        ("node", "-p", f"require('{NPM}/node_modules/nodemailer/package.json').version"),
        _script("node", str(PROGRAMS / "nodemailer.js")),
        Needs(debian=("node=nodejs", "npm=npm"), npm=("nodemailer@10.6.1",)),
    ),
    Program(
        "PHPMailer",
        "`send` with `SMTPKeepAlive`",
        (
            "php",
            "-r",
            f"require '{_PHPMAILER}'; echo PHPMailer\\PHPMailer\\PHPMailer::VERSION;",
        ),
        _script("php", str(PROGRAMS / "phpmailer.php")),
        Needs(debian=("php-cli", "libphp-phpmailer")),
    ),
    Program(
        "JavaMail",
        "`Transport.sendMessage`",
        ("java", "-cp", f"{_JAVA}:{_JARS}", "JavaMail", "version"),
        _script("java", "-cp", f"{_JAVA}:{_JARS}", "JavaMail", "mail.smtp.ssl.trust=127.0.0.1"),
        Needs(debian=("javac=default-jdk-headless", "libmail-java")),
        prepare=("javac", "-cp", _JARS, "-d", str(_JAVA), str(PROGRAMS / "JavaMail.java")),
    ),
    Program(
        "JavaMail with options",
        "the same with `mail.smtp.sendpartial`, `mail.smtp.chunksize` and `mail.mime.allowutf8`",
        ("java", "-cp", f"{_JAVA}:{_JARS}", "JavaMail", "version"),
        _script(
            *("java", "-cp", f"{_JAVA}:{_JARS}", "JavaMail", "mail.smtp.ssl.trust=127.0.0.1"),
            *("mail.smtp.sendpartial=true", "mail.smtp.chunksize=4096", "mail.mime.allowutf8=true"),
        ),
        Needs(debian=("javac=default-jdk-headless", "libmail-java")),
        prepare=("javac", "-cp", _JARS, "-d", str(_JAVA), str(PROGRAMS / "JavaMail.java")),
    ),
    Program(
        "Go net/smtp",
        "`smtp.SendMail`; `smtp.Client` with a login or for several messages",
        ("go", "version"),
        _script(str(_GO)),
        Needs(debian=("go=golang-go",)),
        prepare=(
            *("env", "GO111MODULE=off", "CGO_ENABLED=0", f"GOCACHE={CACHE / 'go'}"),
            *("go", "build", "-o", str(_GO), str(PROGRAMS / "netsmtp.go")),
        ),
    ),
    Program(
        "Ruby Net::SMTP",
        "`send_message`",
        ("ruby", "-e", "require 'net/smtp'; puts Net::SMTP::VERSION"),
        _script("ruby", str(PROGRAMS / "net_smtp.rb")),
        Needs(debian=("ruby=ruby",)),
    ),
    Program(
        "Ruby Mail",
        "`Mail#deliver!`, as Action Mailer does",
        ("ruby", "-e", "require 'mail'; puts Mail::VERSION.version"),
        _script("ruby", str(PROGRAMS / "mail_gem.rb")),
        Needs(debian=("ruby=ruby", "ruby-mail")),
        keeps=False,
    ),
    Program(
        "Perl Net::SMTP",
        "`mail`, `to` with SkipBad, `data`",
        ("perl", "-MNet::SMTP", "-e", "print $Net::SMTP::VERSION"),
        _script("perl", str(PROGRAMS / "net_smtp.pl")),
        Needs(debian=("perl=perl", "libauthen-sasl-perl", "libio-socket-ssl-perl")),
    ),
    Program(
        "Perl Email::Sender",
        "`sendmail` with the SMTP transport",
        ("perl", "-MEmail::Sender", "-e", "print $Email::Sender::VERSION"),
        _script("perl", str(PROGRAMS / "email_sender.pl")),
        Needs(debian=("libemail-sender-perl", "libauthen-sasl-perl", "libio-socket-ssl-perl")),
        keeps=False,
    ),
)
