"""Make sums of two numbers: the example data of tinker-cookbook's rubric recipe, row for row.

Source: github.com/thinking-machines-lab/tinker-cookbook, recipes/rubric/generate_data.py
(Apache-2.0), which draws 10,000 training rows and then 1,000 test rows at seed 42. Ours add an
`id`, and `reveal`: the criterion contains the answer, so the policy must not see it.

    {"id": "addition-17",
     "convo": [{"role": "user", "content": "What is 4 + 5?"},
               {"role": "assistant", "content": "9"},
               {"role": "user", "content": "What is 122 + 12?"}],
     "rubric_items": [
       {"rubric_str": "Does the chatbot correctly get the answer 134?",
        "extraction_regex": "<score>(.*?)</score>",
        "grader_output_format_instruction":
          "Please output your score between 0 and 1 wrapped in <score> ... </score>",
        "reveal": "verdict"}]}
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from refinecli.generators.shared_items import rubric_item
from refinecli.types import JSONObject


def generate(n: int, seed: int) -> Iterator[JSONObject]:
    """Yield the first n sums of this seed."""
    rng = random.Random(seed)
    for index in range(n):
        x, y = rng.randint(0, 1000), rng.randint(0, 1000)
        criterion = f"Does the chatbot correctly get the answer {x + y}?"
        yield {
            "id": f"addition-{index}",
            "convo": [
                {"role": "user", "content": "What is 4 + 5?"},
                {"role": "assistant", "content": "9"},
                {"role": "user", "content": f"What is {x} + {y}?"},
            ],
            "rubric_items": [rubric_item(criterion, reveal="verdict")],
        }
