"""What tests of any room may ask for."""

from __future__ import annotations

import datetime
import gc
import os
import signal
import ssl
import tempfile

import anyio._core._eventloop as anyio_loop
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, settings

from relay_modes import for_the_whole_run

# What one test's gateway remembers is none of another's, and none of the person's who runs them.
os.environ["TIDEGATE_STATE"] = ""
# Some daemons are started without any variable of ours.
_STATE = tempfile.TemporaryDirectory(prefix="tg-state-")
os.environ["XDG_STATE_HOME"] = _STATE.name

# What a shell runs in the background ignores interrupts, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

for_the_whole_run()

# Where `sniffio` is installed, which one of the judges needs, anyio asks it what runs here. While a fixture of anyio is
# open that is asyncio, and `anyio.run` in another test then refuses. Without it, anyio asks the loop itself.
anyio_loop.sniffio = None

# How fast examples are made and tried says something of the machine, and nothing of what is tested.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# The collector runs in whichever thread allocates. Gateways that ended in earlier tests must not be taken apart on a
# worker thread of a later one: their native parts are the loop's. So it runs here, between tests.
gc.disable()
_GARBAGE = 30_000
"""Objects, since the last time."""


def pytest_runtest_teardown() -> None:
    if gc.get_count()[0] > _GARBAGE:
        gc.collect()


def self_signed(name: str) -> bytes:
    """PEM of a key and a certificate for a DNS name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="session")
def tls_ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PEM file: key and certificate for `localhost`, made just now; nobody vouches for it."""
    pem = tmp_path_factory.mktemp("tls") / "localhost.pem"
    pem.write_bytes(self_signed("localhost"))
    return str(pem)


@pytest.fixture(scope="session")
def tls_pair(tls_ca: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server, client) contexts of that certificate."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tls_ca)
    return server, ssl.create_default_context(cafile=tls_ca)
