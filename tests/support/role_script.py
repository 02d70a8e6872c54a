"""A script for a chat server that plays every role of every loop, told apart by our own prompts."""

from __future__ import annotations

import re
from collections.abc import Callable

from refinecli.prompts.templates import CRITIC_SYSTEM, GRADER_SYSTEM, SELECTOR_SYSTEM
from tests.support.chat_server import Reply, Request
from tests.support.fakes import between

Answer = str | Reply | Callable[[Request], "str | Reply"]


def role_of(request: Request) -> str:
    """Who was asked, told by our own prompts alone."""
    first, *rest = request.body["messages"]
    for system, role in (
        (GRADER_SYSTEM, "grader"),
        (CRITIC_SYSTEM, "critic"),
        (SELECTOR_SYSTEM, "selector"),
    ):
        if first["role"] == "system" and system in first["content"]:
            return role
    turns = rest if first["role"] == "system" else [first, *rest]
    return "policy" if turns[-1]["role"] == "user" and len(turns) == 1 else "reviser"


def choice(request: Request) -> str:
    """A selector's reply: for the first response that says RIGHT, else for the first."""
    shown = re.findall(r"<(response_\d-\w+)>\n(.*?)\n</\1>", request.last, re.DOTALL)
    right = [number for number, (_, text) in enumerate(shown, 1) if "RIGHT" in text]
    return f"REASON-OF-SELECTOR\n<best>{(right or [1])[0]}</best>"


def verdict(request: Request) -> str:
    right = "RIGHT" in between(request.last, "response")
    return f"REASON-OF-GRADER\n<score>{int(right)}</score>"


def criticism(request: Request) -> str:
    if "<improved>" in request.last:
        return "WORDS-OF-CRITIC\n<improved>\nRIGHT by the critic\n</improved>"
    return "WORDS-OF-CRITIC"


def scripted(**replies: Answer) -> Callable[[Request], str | Reply]:
    """A script for all roles: a wrong answer that every loop makes right."""
    answers: dict[str, Answer] = {
        "policy": "WRONG",
        "reviser": lambda request: f"RIGHT after {len(request.body['messages'])}",
        "grader": verdict,
        "critic": criticism,
        "selector": choice,
        **replies,
    }

    def script(request: Request) -> str | Reply:
        answer = answers[role_of(request)]
        return answer if isinstance(answer, str | Reply) else answer(request)

    return script
