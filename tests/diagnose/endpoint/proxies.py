"""nginx and Caddy as people run them, in front of the application."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.diagnose.endpoint.serving import free_port, missing, wait_until_open

__all__ = ["Certificate", "caddy", "certificate", "nginx"]

# Nothing of an installed nginx is touched: all that it writes is in its own folder.
NGINX = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {upstream};
            {directives}
        }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, upstream: str, directives: str = "") -> Iterator[str]:
    """Run nginx before `upstream`, with its default settings but for the directives."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx") or missing("nginx")
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(port=port, upstream=upstream, directives=directives))
    with _running([program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")], port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def caddy(
    folder: Path, upstream: str, trusted: Certificate | None = None, *, others: Sequence[str] = ()
) -> Iterator[str]:
    """Run Caddy before `upstream` and `others`, in turns; with a certificate by TLS, and so by HTTP/2."""
    beside = Path(sys.executable).with_name("caddy")
    program = str(beside) if beside.exists() else shutil.which("caddy") or missing("caddy")
    port = free_port()
    config = folder / "caddy.json"
    config.write_text(json.dumps(_caddy_config(port, [upstream, *others], folder, trusted)))
    with _running([program, "run", "--config", str(config)], port):
        yield f"{'https' if trusted else 'http'}://127.0.0.1:{port}"


def _caddy_config(port: int, upstreams: Sequence[str], folder: Path, trusted: Certificate | None) -> dict[str, Any]:
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": upstream.removeprefix("http://")} for upstream in upstreams],
        # One that is being started anew is passed over, for as long as it takes.
        "load_balancing": {"selection_policy": {"policy": "round_robin"}, "try_duration": "5s", "try_interval": "50ms"},
    }
    server: dict[str, Any] = {
        "listen": [f"127.0.0.1:{port}"],
        "automatic_https": {"disable": True},
        "protocols": ["h1", "h2"],
        "routes": [{"handle": [proxy]}],
    }
    apps: dict[str, Any] = {"http": {"servers": {"it": server}}}
    if trusted:
        server["tls_connection_policies"] = [{}]
        files = {"certificate": str(trusted.chain), "key": str(trusted.key)}
        apps["tls"] = {"certificates": {"load_files": [files]}}
    return {
        "admin": {"disabled": True, "config": {"persist": False}},
        "storage": {"module": "file_system", "root": str(folder / "storage")},
        "logging": {"logs": {"default": {"level": "ERROR"}}},
        "apps": apps,
    }


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_open(port, lambda: process.poll() is None)
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Certificate:
    """A certificate of 127.0.0.1 that has signed itself."""

    def __init__(self, chain: Path, key: Path) -> None:
        self.chain = chain
        self.key = key


def certificate(folder: Path) -> Certificate:
    """Make one, and write it down."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "unbroken tests")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    chain, key_file = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    encoding, style = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(encoding, style, serialization.NoEncryption()))
    return Certificate(chain, key_file)
