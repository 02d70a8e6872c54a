"""The job with OpenJudge: its chat model answers, its runner grades."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from openjudge.graders.llm_grader import LLMGrader
from openjudge.models.openai_chat_model import OpenAIChatModel
from openjudge.runner.grading_runner import GradingRunner

GRADING = """\
<response>
{response}
</response>
<criterion>
{criterion}
</criterion>
Reply with a JSON object that has `reason` and `score`."""


async def main(url: str, rows: list[dict], concurrency: int) -> list[dict]:
    model = OpenAIChatModel(model="mock", base_url=url)
    slots = asyncio.Semaphore(concurrency)

    async def answer(row: dict) -> dict:
        async with slots:
            reply = await model.achat(row["convo"])
        return {"response": reply.content, "criterion": row["rubric_items"][0]["rubric_str"]}

    answered = await asyncio.gather(*map(answer, rows))
    grader = LLMGrader(model=model, name="criterion", template=GRADING)
    runner = GradingRunner({"criterion": grader}, max_concurrency=concurrency)
    result = await runner.arun(answered)
    scores = [grade.score for grade in result["criterion"]]
    return [
        {**row, "response": given["response"], "score": score}
        for row, given, score in zip(rows, answered, scores, strict=True)
    ]


url, data, concurrency = sys.argv[1:]
lines = Path(data).read_text().splitlines()
done = asyncio.run(main(url, [json.loads(line) for line in lines], int(concurrency)))
Path("out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in done))
