"""What gives way at a reload: what the configuration says of servers and certificates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from proxy.configuration.reading import Config
from proxy.control.loading import load
from proxy.errors import ConfigError
from proxy.process.assembly import listener_tls, upstream_servers
from proxy.upstream.target import Target
from tests.support.rig import CONFIG


def target(config: Config) -> Target:
    [only] = upstream_servers(config).targets
    return only


def target_of(upstream: str, env: dict[str, str]) -> Callable[[], object]:
    config = load(CONFIG, env, {"upstream": upstream}).config
    return lambda: upstream_servers(config)


async def test_target_has_the_port_and_the_name_of_the_url() -> None:
    plain = target(load(CONFIG, {}, {"upstream": "http://old.example.com"}).config)
    assert (plain.host, plain.port, plain.tls) == ("old.example.com", 80, None)
    secure = target(load(CONFIG, {}, {"upstream": "https://[::1]"}).config)
    assert (secure.host, secure.port, secure.server_name) == ("::1", 443, "::1")
    assert secure.tls is not None
    assert secure.tls.check_hostname
    named = {"SEGUE_UPSTREAM__TLS__SERVER_NAME": "old.internal"}
    other = target(load(CONFIG, named, {"upstream": "https://10.0.0.1:8443"}).config)
    assert (other.host, other.port, other.server_name) == ("10.0.0.1", 8443, "old.internal")


async def test_verification_can_be_turned_off_by_name_only() -> None:
    env = {"SEGUE_UPSTREAM__TLS__VERIFY": "false"}
    found = target(load(CONFIG, env, {"upstream": "https://old.example.com"}).config)
    assert found.tls is not None
    assert not found.tls.check_hostname


@pytest.mark.parametrize("content", [None, "not a certificate"], ids=["missing", "unusable"])
async def test_unusable_ca_file_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    env = {"SEGUE_UPSTREAM__TLS__CA_FILE": str(file)}
    with pytest.raises(ConfigError) as caught:
        target_of("https://old.example.com", env)()
    [problem] = caught.value.problems
    assert (problem.file, problem.path) == (str(file), "upstream.tls.ca_file")
    expected = "no such file or directory: put it there" if content is None else "not PEM: there is"
    assert problem.message.startswith(expected)


async def test_certificate_that_does_not_fit_its_key_is_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    authority.issue_cert("localhost").cert_chain_pems[0].write_to_path(str(certificate))
    authority.issue_cert("localhost").private_key_pem.write_to_path(str(key))
    env = {"SEGUE_LISTEN__TLS__CERTIFICATE": str(certificate), "SEGUE_LISTEN__TLS__KEY": str(key)}
    with pytest.raises(ConfigError) as caught:
        listener_tls(load(CONFIG, env, {}).config)
    [problem] = caught.value.problems
    assert (problem.file, problem.path) == (str(key), "listen.tls.key")
    assert problem.message.startswith(f"does not belong to {certificate}: ")
