"""Serve a classifier on its own loopback port, as TEI's `/predict` does.

    python -m refinecli.models.local.classifier_child DIR

As `child`, it reads an API key from the first line of stdin, prints a line with its URL once it can
answer, ends as soon as stdin does, and imports nothing of refinecli.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class TooLongError(ValueError):
    """The text has more tokens than the model takes; a part of it would be another text."""


class Classifier:
    """A model and its tokenizer, asked one text at a time."""

    def __init__(self, folder: str) -> None:
        self._model = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32
        ).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._lock = threading.Lock()

    def probabilities(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """Return each label with its probability, the likeliest first."""
        config = self._model.config
        with self._lock, torch.inference_mode():
            tokens = self._tokens(asked)
            # Some models count two positions that no text gets, and only the tokenizer says so.
            most = getattr(config, "max_position_embeddings", None)
            most = min(most or sys.maxsize, self._tokenizer.model_max_length)
            if tokens["input_ids"].shape[1] > most:
                raise TooLongError(f"{tokens['input_ids'].shape[1]} tokens, of {most} at most")
            logits = self._model(**tokens).logits[0].float()
        one_by_one = len(logits) == 1 or config.problem_type == "multi_label_classification"
        shares = torch.sigmoid(logits) if one_by_one else torch.softmax(logits, dim=0)
        found = [
            {"label": config.id2label[place], "score": share}
            for place, share in enumerate(shares.tolist())
        ]
        return sorted(found, key=lambda one: -one["score"])

    def _tokens(self, asked: dict[str, Any]) -> Any:
        """Return the tokens of a text, or of a conversation: as the chat template writes it, which
        a reward model was trained on, or as a pair."""
        if self._tokenizer.chat_template and "messages" in asked:
            text = self._tokenizer.apply_chat_template(asked["messages"], tokenize=False)
            return self._tokenizer(text, return_tensors="pt", add_special_tokens=False)
        if isinstance(asked["inputs"], str):
            return self._tokenizer(asked["inputs"], return_tensors="pt")
        ((prompt, response),) = asked["inputs"]
        return self._tokenizer(prompt, response, return_tensors="pt")


def handler_of(classifier: Classifier, api_key: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") != f"Bearer {api_key}":
                self._answer(401, {"error": "the key is not right"})
                return
            try:
                self._answer(200, classifier.probabilities(json.loads(body)))
            except TooLongError as error:
                self._answer(413, {"error": f"the context length is exceeded: {error}"})
            except Exception as error:  # of the model's code, or its template's
                self._answer(400, {"error": f"{type(error).__name__}: {error}"})

        def _answer(self, status: int, value: object) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    return Handler


def _end_with_parent() -> None:
    try:
        while os.read(0, 4096):
            pass
    finally:
        os._exit(0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m refinecli.models.local.classifier_child")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    ready = os.dup(1)
    os.dup2(2, 1)  # what libraries print is not the ready line
    api_key = sys.stdin.readline().strip()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        handler = handler_of(Classifier(str(folder)), api_key)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    os.write(ready, json.dumps({"url": url}).encode() + b"\n")
    os.close(ready)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
