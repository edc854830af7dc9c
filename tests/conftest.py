"""What tests of several packages use."""

from __future__ import annotations

import logging
import os
import pwd
import sys
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ssdbench.runtime import launch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules of the slow tests, the whole command's first: one at the end would be waited for alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path.parent != Path(__file__).parent))


def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container under a user id that the system does not know."""
    monkeypatch.delenv("HOME", raising=False)

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.fixture(scope="module")
def fake_workers() -> Iterator[None]:
    """Workers of the stages in ``fake_stages``, forked: from nothing each takes half a second."""
    folder = Path(__file__).parent / "runtime"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "FORK_SERVER", (sys.executable, str(folder / "fake_fork_server.py")))
        patch.setattr(launch, "WORKER", (sys.executable, str(folder / "fake_worker.py")))
        yield


class S3:
    """moto's S3 on a port of this machine, one request at a time: moto looks and writes in two steps, S3 in one."""

    def __init__(self, handler: Any, application: Any, make_server: Any) -> None:
        self.requests: list[str] = []
        self._application = application
        self._lock = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with self._lock:
            self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
            return list(self._application(environ, start_response))

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """An S3 of this test session; without moto and s3fs its tests are skipped."""
    for module in ("s3fs", "boto3", "moto.server"):
        pytest.importorskip(module, reason=f"{module} is not installed: pip install -e '.[dev]'")
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = S3(MotoRequestHandler, DomainDispatcherApplication(create_backend_app), make_server)
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3:
    """The server, and the environment in which this process and its children find it and nothing else."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name in ("SSDBENCH_RESULTS", "SSDBENCH_UPSTREAM"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return s3_server


@pytest.fixture
def bucket(s3: S3) -> str:
    """The URL of a place in a fresh bucket."""
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    urllib.request.urlopen(urllib.request.Request(f"{s3.endpoint}/{name}", method="PUT")).close()
    return f"s3://{name}/team/results"


@pytest.fixture
def new_clients(s3: S3) -> Iterator[None]:
    """For tests that change endpoint or credentials: fsspec keeps one client for all, whatever the environment is."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()
