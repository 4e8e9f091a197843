"""Builds Request Tracker's database once, so that every start is a copy of one file.

Used by `RequestTracker`. Building takes about five seconds, copying none.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from support.peers.process import require_binary, run_tool

REMEDY = (
    "Install it with: apt-get install --no-install-recommends request-tracker5 rt5-db-sqlite "
    "rt5-standalone starman (make setup does this where it may)."
)

LIBRARY = "/usr/share/request-tracker5/lib"
SERVER = "/usr/share/request-tracker5/libexec/rt-server"

QUEUES = ("Incidents", "Payments")
SEVERITIES = ("critical", "major", "minor", "warning", "info", "clear", "unknown", "other")
FREE_FIELDS = ("intops_key", "Service", "Node")
RIGHTS = (
    "SeeQueue",
    "ShowTicket",
    "ShowTicketComments",
    "CreateTicket",
    "ReplyToTicket",
    "CommentOnTicket",
    "ModifyTicket",
    "OwnTicket",
    "TakeTicket",
    "SeeCustomField",
    "ModifyCustomField",
)

# 4 is the least bcrypt can do. RT's own 12 costs 0.25 s of CPU in each request, which a test
# machine does not have; nothing under test depends on it.
BCRYPT_COST = 4

INITIAL_DATA = """\
our @Queues = (%(queues)s);
our @Users = ({ Name => 'intops', EmailAddress => 'intops@example.com', Privileged => 1 });
our @CustomFields = (
  (map { { Name => $_, Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket',
           Queue => [%(names)s] } } qw(%(free)s)),
  { Name => 'Severity', Type => 'SelectSingle', LookupType => 'RT::Queue-RT::Ticket',
    Queue => [%(names)s], Values => [map { { Name => $_ } } qw(%(severities)s)] },
);
our @ACL = (map { { UserId => 'intops', Right => $_ } } qw(%(rights)s));
1;
"""

SITE_CONFIG = """\
Set($rtname, 'ci'); Set($Organization, 'ci'); Set($Timezone, 'UTC');
Set($WebDomain, '%(host)s'); Set($WebPort, %(port)d); Set($WebPath, '');
Set($WebBaseURL, 'http://%(host)s:%(port)d');
Set($DatabaseType, 'SQLite'); Set($DatabaseName, '%(folder)s/rt.sqlite');
Set($MasonDataDir, '%(folder)s/mason'); Set($BcryptCost, %(cost)d);
Set($LogToSyslog, undef); Set($LogToSTDERR, 'warning');
Set($MailCommand, 'sendmailpipe'); Set($SendmailPath, '%(folder)s/sendmail');
1;
"""

# Without this RT would write its mail below /var/lib.
SENDMAIL = '#!/bin/sh\nexec cat >> "%(folder)s/mail.mbox"\n'

CREATE_TOKEN = """\
use lib "%(library)s"; use RT -init;
my $user = RT::User->new(RT->SystemUser); $user->Load('intops');
my $token = RT::AuthToken->new(RT->SystemUser);
my ($ok, $why, $text) = $token->Create(Owner => $user->id, Description => $ARGV[0]);
die "$why\\n" unless $ok;
print $text;
"""

REVOKE_TOKEN = """\
use lib "%(library)s"; use RT -init;
my $user = RT::User->new(RT->SystemUser); $user->Load('intops');
my $tokens = RT::AuthTokens->new(RT->SystemUser); $tokens->LimitOwner(VALUE => $user->id);
my (undef, $text) = RT::AuthToken->ParseAuthString($ENV{INTOPS_TOKEN});
my $gone = 0;
while (my $token = $tokens->Next) {
    next unless $token->IsToken($text);
    my ($ok, $why) = $token->Delete; die "$why\\n" unless $ok;
    $gone++;
}
die "no such token\\n" unless $gone;
"""


@dataclass(frozen=True, slots=True)
class Fixture:
    """A database that is ready to be copied, and the secrets that open it."""

    database: Path
    root_password: str
    token: str
    """An authentication token of the user `intops`."""


def site_environment(folder: Path) -> dict[str, str]:
    """Return the variables that keep RT away from the packaged instance."""
    return {
        "RT_SITE_CONFIG": str(folder / "RT_SiteConfig.pm"),
        "RT_SITE_CONFIG_DIR": "/dev/null",
    }


def write_site(folder: Path, *, host: str, port: int) -> None:
    """Write RT's configuration and its mail program into a folder."""
    values = {"folder": folder, "host": host, "port": port, "cost": BCRYPT_COST}
    (folder / "RT_SiteConfig.pm").write_text(SITE_CONFIG % values)
    sendmail = folder / "sendmail"
    sendmail.write_text(SENDMAIL % values)
    sendmail.chmod(0o755)


def run_perl(script: str, *arguments: str, folder: Path, secret: str = "") -> str:
    """Run one of the scripts above against the database of a folder and return its output.

    Args:
        script: `CREATE_TOKEN` or `REVOKE_TOKEN`.
        arguments: Of the script.
        folder: Holds RT_SiteConfig.pm.
        secret: Reaches the script by its environment, where a process list does not show it.
    """
    perl = require_binary("perl", remedy="Install it with: apt-get install perl.")
    environment = {**site_environment(folder), "INTOPS_TOKEN": secret}
    command = [perl, "-e", script % {"library": LIBRARY}, *arguments]
    return run_tool(command, cwd=folder, environment=environment)


def fixture() -> Fixture:
    """Return the fixture of this machine and RT version; build it when it is not there yet.

    Safe to call from several test processes at once.
    """
    setup = require_binary("rt-setup-database-5", remedy=REMEDY)
    folder = _cache_root() / f"request-tracker-{_digest(setup)}"
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder.parent / "request-tracker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _build(setup, folder)
    return Fixture(
        database=folder / "rt.sqlite",
        root_password=(folder / "root-password").read_text(),
        token=(folder / "token").read_text(),
    )


def initial_data() -> str:
    """Return queues, user, custom fields and rights in RT's own format."""
    return INITIAL_DATA % {
        "queues": ", ".join(f"{{ Name => '{name}' }}" for name in QUEUES),
        "names": ", ".join(f"'{name}'" for name in QUEUES),
        "free": " ".join(FREE_FIELDS),
        "severities": " ".join(SEVERITIES),
        "rights": " ".join(RIGHTS),
    }


def _build(setup: str, folder: Path) -> None:
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix="building-"))
    try:
        write_site(work, host="127.0.0.1", port=1)  # no server runs while it is built
        environment = site_environment(work)
        (work / "root-password").write_text(secrets.token_urlsafe(24))
        (work / "intops.initialdata").write_text(initial_data())
        password_file = ["--root-password-file", str(work / "root-password")]
        run_tool([setup, "--action", "init", *password_file], cwd=work, environment=environment)
        data_file = ["--skip-create", "--datafile", str(work / "intops.initialdata")]
        run_tool([setup, "--action", "insert", *data_file], cwd=work, environment=environment)
        (work / "token").write_text(run_perl(CREATE_TOKEN, "fixture", folder=work))
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _digest(setup: str) -> str:
    """Change with the data, the settings and the installed RT."""
    parts = [initial_data(), SITE_CONFIG, CREATE_TOKEN, str(BCRYPT_COST)]
    parts.append(str(Path(setup).stat().st_mtime_ns))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _cache_root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "intops" / "fixtures"
