"""The server of server.py, and an environment without switches."""

import pytest

from engine.download.fetching import OFFLINE_SWITCHES

from .server import serve


@pytest.fixture
def site():
    with serve() as site:
        yield site


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    for name in (*OFFLINE_SWITCHES, "HF_ENDPOINT", "HF_HUB_CACHE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("STYLIZE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
