"""A certificate from files, over real TLS: exchanged while it is used, never for a worse one, and told about."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from intops_operator import metrics
from intops_operator.admission.presented import Presented
from intops_operator.edges.certificate_files import FilesError, Pair, read_pair
from support.certificates import Authority, new_authority

pytestmark = pytest.mark.component

HOST = "intops.intops-system.svc"
DAY = timedelta(days=1)
WRONG = Pair(*new_authority().pair("intops.example.com"))


@dataclass
class Endpoint:
    """A TLS server that shows what it was offered last."""

    shown: Presented
    authority: Authority = field(default_factory=new_authority)
    port: int = 0

    async def sees(self, *, names_it: bool = True) -> x509.Certificate:
        """The certificate that a client gets, which must trust it; as an API server asks, or by address."""
        context = ssl.create_default_context(cadata=self.authority.pem)
        context.check_hostname = names_it
        _, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname=HOST if names_it else ""
        )
        try:
            seen = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            return x509.load_der_x509_certificate(seen)
        finally:
            writer.close()

    def offer(self, *hosts: str, with_rsa: bool = False, ends: datetime | None = None) -> None:
        """Give it a pair of its authority."""
        self.shown.offer(Pair(*self.authority.pair(*hosts, with_rsa=with_rsa, ends=ends)))


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """A server without a certificate."""
    found = Endpoint(Presented((HOST,), made_here=False))

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0, ssl=found.shown.context)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()
    await server.wait_closed()


def told(problem: str) -> float:
    """The metric of one problem."""
    value = metrics.REGISTRY.get_sample_value(
        "intops_operator_certificate_problem", {"reason": problem}
    )
    return -1.0 if value is None else value


async def test_without_a_certificate_nobody_is_answered(endpoint: Endpoint) -> None:
    """It fails closed, and says what is missing."""
    with pytest.raises(OSError):  # noqa: PT011  # an alert or an end, as the time has it
        await endpoint.sees()

    assert endpoint.shown.missing() == ["The admission endpoint has no certificate yet."]


@pytest.mark.parametrize("names_it", [True, False], ids=["by name", "by address"])
async def test_a_new_pair_is_shown_at_the_next_handshake(
    endpoint: Endpoint, names_it: bool
) -> None:
    """Also to clients that name no host, and also when the kind of key is another one."""
    endpoint.offer(HOST)
    first = await endpoint.sees(names_it=names_it)
    endpoint.offer(HOST, with_rsa=True)
    second = await endpoint.sees(names_it=names_it)

    assert not isinstance(first.public_key(), rsa.RSAPublicKey)
    assert isinstance(second.public_key(), rsa.RSAPublicKey)
    assert endpoint.shown.missing() == []


async def test_a_pair_of_another_name_is_not_shown_and_is_told(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """What worked goes on; the metric and one line of the log say what is wrong, and when it is over."""
    endpoint.offer(HOST)
    before = await endpoint.sees()
    for _ in range(3):
        endpoint.shown.offer(WRONG)

    assert (await endpoint.sees()).serial_number == before.serial_number
    assert told("WrongName") == 1.0
    assert sum(record.message == "certificate" for record in caplog.records) == 1
    assert endpoint.shown.missing() == []  # no replica leaves while another would say the same

    endpoint.offer(HOST)
    assert told("WrongName") == 0.0
    assert (await endpoint.sees()).serial_number != before.serial_number


async def test_a_replica_that_starts_with_a_wrong_name_is_not_ready(endpoint: Endpoint) -> None:
    """So that an upgrade stops at its first replica, and the older ones answer."""
    endpoint.shown.offer(WRONG)

    (sentence,) = endpoint.shown.missing()
    assert f"not for {HOST}" in sentence


def test_a_replica_waits_for_no_name_that_the_leader_has_yet_to_add() -> None:
    """In an upgrade that changes the names, the leader is an older replica, which stays until this one is ready."""
    shown = Presented((HOST,), made_here=True)
    shown.offer(WRONG)

    assert shown.missing() == []
    assert told("WrongName") == 1.0


async def test_the_end_of_a_certificate_is_told_before_and_after(endpoint: Endpoint) -> None:
    """Both are metrics of their own."""
    endpoint.offer(HOST, ends=datetime.now(UTC) + DAY)
    assert (told("EndsSoon"), told("Expired")) == (1.0, 0.0)

    endpoint.offer(HOST, ends=datetime.now(UTC) + 9 * DAY)
    assert (told("EndsSoon"), told("Expired")) == (0.0, 0.0)

    endpoint.offer(HOST, ends=datetime.now(UTC) - DAY)
    assert (told("EndsSoon"), told("Expired")) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("certificate", "key", "problem"),
    [
        pytest.param("no PEM", None, "Unreadable", id="no certificate"),
        pytest.param(None, "no PEM", "Unreadable", id="no key"),
        pytest.param(None, new_authority().pair(HOST)[1], "KeyMismatch", id="another key"),
    ],
)
async def test_half_a_pair_is_never_loaded(
    endpoint: Endpoint, certificate: str | None, key: str | None, problem: str
) -> None:
    """A context that took the certificate and refused the key would answer nobody any more."""
    endpoint.offer(HOST)
    before = await endpoint.sees()
    other = endpoint.authority.pair(HOST)
    endpoint.shown.offer(Pair(certificate or other[0], key or other[1]))

    assert told(problem) == 1.0
    assert (await endpoint.sees()).serial_number == before.serial_number


def mounted(folder: Path, state: str, pair: tuple[str, str]) -> None:
    """Write a pair as kubelet does: a folder of its own, and a link that is renamed at once."""
    present = folder / state
    present.mkdir()
    for name, text in zip(("tls.crt", "tls.key"), pair, strict=True):
        (present / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    link = folder / "..data_tmp"
    link.symlink_to(state)
    link.rename(folder / "..data")


def test_a_mounted_secret_is_read_as_one(tmp_path: Path) -> None:
    """Both files are of one state, before and after it was exchanged."""
    authority = new_authority()
    first, second = authority.pair(HOST), authority.pair(HOST)
    mounted(tmp_path, "..first", first)
    assert read_pair(tmp_path) == Pair(*first)

    mounted(tmp_path, "..second", second)
    assert read_pair(tmp_path) == Pair(*second)


@pytest.mark.parametrize("text", [None, "", " \n"], ids=["missing", "empty", "blank"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, text: str | None) -> None:
    """And nothing that is in the other one."""
    certificate, _ = new_authority().pair(HOST)
    (tmp_path / "tls.crt").write_text(certificate)
    if text is not None:
        (tmp_path / "tls.key").write_text(text)

    with pytest.raises(FilesError, match=r"tls\.key") as raised:
        read_pair(tmp_path)
    assert "BEGIN" not in str(raised.value)


def test_a_key_is_in_no_text_about_it() -> None:
    """Neither in a log nor in an error."""
    assert WRONG.key not in repr(WRONG)
