"""Certificates of admission that live for seconds: every object is judged while they follow one another."""

from __future__ import annotations

import base64
import copy
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from support.cluster.api import Api
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import OperatorProcess, documents, namespace, operator
from support.webhooks import webhook

pytestmark = pytest.mark.cluster

CONFIGURATION = "intops-certificates-test"
SECRET = "certificates-test"
SPACE = "certificates"
LIFE_S = 3.0
"""Of a certificate; an authority lives three times as long, and the next one comes at two thirds."""
ROTATIONS = {"short": 8, "full": 90}
"""Of certificates; a third as many of authorities."""


@dataclass
class Load:
    """What asked meanwhile, and what went wrong."""

    admitted: int = 0
    handshakes: int = 0
    failures: list[str] = field(default_factory=list)
    shown: dict[int, float] = field(default_factory=dict)
    """When each certificate ends that was shown, by its number; epoch seconds."""
    trusted: set[int] = field(default_factory=set)
    """Numbers of all authorities that the configuration ever named."""


@contextmanager
def pair(plane: ControlPlane, folder: Path) -> Iterator[list[OperatorProcess]]:
    """Two replicas whose certificates live for seconds; both are asked about every object."""
    flags = (
        "--lease-name=certificates", f"--certificate-secret={SECRET}",
        f"--webhook-configuration={CONFIGURATION}",
        f"--certificate-life={LIFE_S}", f"--authority-life={3 * LIFE_S}",
    )  # fmt: skip
    with (
        operator(plane, folder, "one", *flags) as one,
        operator(plane, folder, "two", *flags) as two,
    ):
        configuration = webhook(CONFIGURATION, one.ports["admission"], SPACE)
        for hook in list(configuration["webhooks"]):
            second = copy.deepcopy(hook)
            second["name"] = f"second.{hook['name']}"
            second["clientConfig"]["url"] = hook["clientConfig"]["url"].replace(
                f":{one.ports['admission']}/", f":{two.ports['admission']}/"
            )
            configuration["webhooks"].append(second)
        plane.kubectl.apply(configuration)
        try:
            yield [one, two]
        finally:
            plane.kubectl.run("delete", "validatingwebhookconfiguration", CONFIGURATION)


def bundle_of(api: Api) -> str:
    """What the API server is told to trust; empty while it is told nothing."""
    found = api.get("ValidatingWebhookConfiguration", None, CONFIGURATION)
    assert found is not None
    return base64.b64decode(found["webhooks"][0]["clientConfig"].get("caBundle", "")).decode()


def shake_hands(port: int, bundle: str, load: Load) -> None:
    """One connection by somebody who trusts `bundle`; notes which certificate was shown."""
    trust = ssl.create_default_context(cadata=bundle)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
            trust.wrap_socket(raw, server_hostname="127.0.0.1") as secure,
        ):
            der = secure.getpeercert(binary_form=True)
    except ssl.SSLError as error:
        load.failures.append(f"handshake: {error}")
        return
    assert der is not None
    shown = x509.load_der_x509_certificate(der)
    load.shown[shown.serial_number] = shown.not_valid_after_utc.timestamp()
    load.handshakes += 1


def ask(api: Api, load: Load) -> None:
    """Have one object judged by both replicas, without storing it."""
    doc = documents("connectors.yaml")[0]
    meta = {"name": "only-judged", "namespace": SPACE}
    status, text = api.rehearse({**doc, "metadata": meta})
    if status >= 300:
        load.failures.append(f"HTTP {status} {text[:500]}")
    else:
        load.admitted += 1


@contextmanager
def again_and_again(*works: Callable[[], Any]) -> Iterator[None]:
    """Do each of them in a thread of its own, without a pause worth the name."""
    over = threading.Event()

    def repeat(work: Callable[[], Any]) -> None:
        while not over.wait(0.02):
            work()

    threads = [threading.Thread(target=repeat, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(timeout=60)


def test_f70_certificates_and_authorities_follow_one_another_and_no_admission_fails(
    plane: ControlPlane, api: Api, tmp_path: Path, fault_runs: str
) -> None:
    """F70: each is renewed at two thirds of its life; whoever trusts what the configuration says is never refused."""
    plane.kubectl.apply(namespace(SPACE))
    rotations, load = ROTATIONS[fault_runs], Load()
    with pair(plane, tmp_path) as replicas:
        until(lambda: bundle_of(api), "the authority to be named")
        first = Load()
        until(
            lambda: ask(api, first) or first.admitted, "the API server to ask both",
            explain=lambda: "\n".join(first.failures[-3:]),
        )  # fmt: skip
        ports = itertools.cycle([replica.ports["admission"] for replica in replicas])

        def connect() -> None:
            bundle = bundle_of(api)
            load.trusted |= {
                ca.serial_number for ca in x509.load_pem_x509_certificates(bundle.encode())
            }
            for _ in replicas:
                shake_hands(next(ports), bundle, load)

        with again_and_again(lambda: ask(api, load), connect):
            until(
                lambda: len(load.shown) > rotations or load.failures,
                f"{rotations} rotations", timeout_s=rotations * LIFE_S * 2, every_s=0.2,
                explain=lambda: f"{load}\n{replicas[0].tail()}",
            )  # fmt: skip
    print(f"{len(load.shown)} certificates of {len(load.trusted)} authorities, "
          f"{load.admitted} objects judged, {load.handshakes} handshakes, {len(load.failures)} failed")  # fmt: skip
    assert load.failures == []
    assert load.admitted > rotations
    assert load.handshakes > rotations
    assert len(load.trusted) >= rotations / 3
    # What would have been shown at the end, had nobody renewed it.
    assert min(load.shown.values()) < time.time()
