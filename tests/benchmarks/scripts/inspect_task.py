"""The job as a task of inspect: `generate`, then its model-graded scorer."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, get_model
from inspect_ai.scorer import model_graded_qa
from inspect_ai.solver import generate

GRADING = """\
<response>
{answer}
</response>
<criterion>
{criterion}
</criterion>
{instructions}"""
ROLES = {"user": ChatMessageUser, "assistant": ChatMessageAssistant}


def main(url: str, data: Path, concurrency: int) -> None:
    model = get_model("openai/mock", base_url=url, responses_api=False)
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    samples = [
        Sample(
            input=[ROLES[message["role"]](content=message["content"]) for message in row["convo"]],
            target=row["rubric_items"][0]["rubric_str"],
        )
        for row in rows
    ]
    task = Task(
        dataset=MemoryDataset(samples),
        solver=generate(),
        scorer=model_graded_qa(template=GRADING, model=model),
    )
    limits = {"max_connections": concurrency, "max_samples": concurrency}
    [log] = eval(task, model=model, display="none", log_dir="logs", **limits)
    if log.status != "success":
        sys.exit(f"error: {log.error.message if log.error else log.status}")


main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
