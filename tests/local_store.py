"""A store on this machine that speaks S3, for as long as a test needs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

import pytest

SECRET = "nobody-may-keep-this"


@contextmanager
def bucket() -> Iterator[str]:
    """Have a bucket, and all that is needed to find it in the environment; yields its URL."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'mammofill[object-stores]'")
    server = pytest.importorskip("moto.server", reason="no store to test with: pip install 'moto[server]'")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    # What an earlier store of this process held is kept by moto until it is told to forget it.
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    said = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": host,
    }
    with pytest.MonkeyPatch.context() as patched:
        for name, value in said.items():
            patched.setenv(name, value)
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("bucket")
        yield "s3://bucket"
        s3fs.S3FileSystem.clear_instance_cache()
    running.stop()
