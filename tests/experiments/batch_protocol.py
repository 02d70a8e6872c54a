"""Drive the tests' server of batches with OpenAI's own client, to see that it speaks the protocol.

    pip install openai
    python -m tests.experiments.batch_protocol

What the tests show of `--batch` is worth as much as the server that they talk to. Ends with an
error where the client finds something missing or of another type.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from tests.support.batch_server import BatchServer


def main() -> int:
    """Run one batch, list it, cancel another; return 0 if all of it was understood."""
    openai = import_module("openai")  # not among our dependencies
    with BatchServer(lambda request: f"answer to {request.last}", looks=2, others=120) as server:
        client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "wave-001.jsonl"
            path.write_text("".join(_line(n) + "\n" for n in range(3)))
            uploaded = client.files.create(file=path.open("rb"), purpose="batch")
        batch = client.batches.create(
            input_file_id=uploaded.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"mark": "one"},
        )
        marks = [(one.metadata or {}).get("mark") for one in client.batches.list(limit=100)]
        assert marks.count("one") == 1, marks
        assert len(marks) == 121, len(marks)
        while (batch := client.batches.retrieve(batch.id)).status != "completed":
            pass
        lines = client.files.content(batch.output_file_id).text.splitlines()
        results = {one["custom_id"]: one["response"] for one in map(json.loads, lines)}
        said = results["request-1"]["body"]["choices"][0]["message"]["content"]
        assert said == "answer to question 1", said
        other = client.batches.create(
            input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert client.batches.cancel(other.id).status == "cancelled"
    print(f"openai {openai.__version__} understands the server: {batch.request_counts}")
    return 0


def _line(n: int) -> str:
    messages = [{"role": "user", "content": f"question {n}"}]
    return json.dumps(
        {
            "custom_id": f"request-{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "m", "messages": messages},
        }
    )


if __name__ == "__main__":
    sys.exit(main())
