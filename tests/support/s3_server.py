"""A server that speaks S3, moto's, in a process of its own: `python -m tests.support.s3_server`."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Any

BUCKET = "data"


class S3Server:
    """Serves one empty bucket on a free port of the loopback interface until the block ends."""

    def __enter__(self) -> S3Server:
        import boto3

        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.s3_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self.env = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{int(self._process.stdout.readline())}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "hunter2",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self._client = boto3.client(
            "s3",
            endpoint_url=self.env["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            region_name=self.env["AWS_DEFAULT_REGION"],
        )
        self._client.create_bucket(Bucket=BUCKET)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()
        self._process.communicate(timeout=30)  # which ends its standard input

    def put(self, key: str, content: bytes) -> str:
        """Write an object; return its URL."""
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{BUCKET}/{key}"

    def get(self, key: str) -> bytes:
        found: bytes = self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return found

    def names(self) -> set[str]:
        return {one["Key"] for one in self._listed("list_objects_v2", "Contents")}

    def begin_upload(self, key: str) -> str:
        """Begin an upload in parts; return its id."""
        begun: str = self._client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        return begun

    def unfinished_uploads(self) -> list[dict[str, Any]]:
        return self._listed("list_multipart_uploads", "Uploads")

    def _listed(self, method: str, name: str) -> list[dict[str, Any]]:
        return list(getattr(self._client, method)(Bucket=BUCKET).get(name, ()))


def main() -> None:
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
