"""The job with the openai package in a gather: what one writes by hand.

Run as `python openai_gather.py URL DATA CONCURRENCY`, like its neighbours.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

from openai import AsyncOpenAI

GRADING = """\
<response>
{response}
</response>
<criterion>
{criterion}
</criterion>
{instruction}"""


async def main(url: str, rows: list[dict], concurrency: int) -> list[dict]:
    client = AsyncOpenAI(base_url=url)
    slots = asyncio.Semaphore(concurrency)

    async def ask(messages: list[dict[str, str]], **options: float) -> str:
        async with slots:
            reply = await client.chat.completions.create(model="mock", messages=messages, **options)
        return reply.choices[0].message.content

    async def one(row: dict) -> dict:
        response = await ask(row["convo"])
        item = row["rubric_items"][0]
        prompt = GRADING.format(
            response=response,
            criterion=item["rubric_str"],
            instruction=item["grader_output_format_instruction"],
        )
        verdict = await ask([{"role": "user", "content": prompt}], temperature=0)
        return {
            **row,
            "response": response,
            "score": float(re.findall(r"<score>(.*?)<", verdict)[0]),
        }

    return await asyncio.gather(*map(one, rows))


url, data, concurrency = sys.argv[1:]
lines = Path(data).read_text().splitlines()
done = asyncio.run(main(url, [json.loads(line) for line in lines], int(concurrency)))
Path("out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in done))
