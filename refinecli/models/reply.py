"""Reading what came back with a good status: a Completion, or a failure by name; pure.

A response is empty only where the model had its say and said nothing. All else that holds no text
is a failure, in the provider's own words where it has any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import isfinite

import orjson

from refinecli.errors import CompletionError
from refinecli.models.envelope import ending_in, filter_results, reply_object
from refinecli.models.provider_errors import shortened, stated_error
from refinecli.models.retries import RetryableError
from refinecli.types import Completion, JSONObject, Usage

# How providers spell the ways in which a reply ends, in lower case with underscores. The list is
# closed: an ending that is not here is not whole. To add a spelling, add a word.
_WHOLE = frozenset(
    {"stop", "end_turn", "eos", "eos_token", "stop_sequence", "complete", "completed", "end"}
    | {"finish", "finished", "done", "endoftext", "end_of_text", "eot", "normal"}
    | {"stop_str", "stop_string", "stop_token", "stop_word", "stop_words", "eos_found"}
    | {"end_of_turn", "eot_id", "im_end", "/s", "eos_token_found"}
)
_LENGTH = frozenset(
    {"length", "max_tokens", "max_output_tokens", "max_completion_tokens", "max_length"}
    | {"max_new_tokens", "max_token", "token_limit", "token_limit_reached", "model_length"}
    | {"model_context_window_exceeded", "context_window_exceeded", "context_length_exceeded"}
    | {"context_length", "length_limit", "output_limit", "limit"}
)
_FILTERED = frozenset(
    {"content_filter", "content_filtered", "safety", "recitation", "blocklist", "sensitive"}
    | {"prohibited_content", "spii", "guardrail_intervened", "guardrail", "filtered", "moderation"}
    | {"image_safety", "language", "error_toxic", "content_policy", "content_policy_violation"}
)
_REFUSED = frozenset({"refusal", "refused"})
_TOOLS = frozenset(
    {"tool_calls", "tool_call", "tool_use", "function_call"}
    | {"malformed_function_call", "unexpected_tool_call"}
)
# Never the end of a whole reply; seen from servers that ran out of something.
_BROKEN_OFF = frozenset(
    {"error", "abort", "aborted", "cancelled", "canceled", "incomplete"}
    | {"insufficient_system_resource", "interrupted", "timeout", "engine_overloaded"}
    | {"network_error", "rate_limit", "rate_limited", "ratelimit", "overloaded", "load"}
    | {"server_error", "internal_error", "engine_error", "preempted", "failed", "failure"}
)
# Parts of a content that hold the model's thoughts.
_THOUGHTS = frozenset({"thinking", "reasoning", "reasoning_text", "redacted_thinking", "thought"})
# White space in tokens, which some servers spell as in their tokenizer's file.
_SPACES = " \t\r\n\u0120\u010a\u010d\u2581"
_ROUNDING = 0.01


def is_whole(ending: str | None) -> bool:
    """Return whether a reply with this ending, as a completion has it, was its model's whole
    say."""
    return ending is None or ending in _WHOLE


def read_completion(content: bytes) -> Completion:
    """Return a chat reply's first choice.

    Raises StatedError where it holds an error, CompletionError by name where it is paid for and
    holds no text that can be read, and RetryableError where it is not a reply.
    """
    return _ordinary(content) or _carefully(content)


# The fields of a message that say nothing more where its content is the model's whole say.
_ORDINARY_MESSAGE = frozenset(
    {"role", "content", "refusal", "annotations", "audio", "tool_calls", "function_call"}
)


def _ordinary(content: bytes) -> Completion | None:
    """Return a reply that is a text which ended by itself, as nearly all are, at a tenth of the
    cost; None for any other. What it returns is what careful reading would."""
    if not content.startswith(b"{"):
        return None
    try:
        value = orjson.loads(content)
        choice = value["choices"][0]
        message, usage = choice["message"], value["usage"]
        text = message["content"]
        if (
            choice["finish_reason"] == "stop"
            and type(text) is str
            and text.strip()
            and message.keys() <= _ORDINARY_MESSAGE
            and type(usage) is dict
            and value.get("error") is None
            and value.get("base_resp") is None
            and choice.get("error") is None
            and choice.get("logprobs") is None
            and choice.get("native_finish_reason", "stop") == "stop"
        ):
            return Completion(text, finish_reason="stop", usage=_usage(usage))
    except (ValueError, LookupError, TypeError):  # not JSON, or of another shape
        pass
    return None


def _carefully(content: bytes) -> Completion:
    value = reply_object(content)
    if error := stated_error(value):
        raise error
    choice = _first_choice(value)
    message = _message(choice)
    text, thoughts = _content(message.get("content"))
    ending = _ending_of(choice) or _ending_beside(value)
    reasoning = _reasoning(message, thoughts)
    given = value.get("usage")
    usage = _usage(given if isinstance(given, dict) else {})
    # Some providers keep the reasoning to themselves, and count it.
    _check_has_its_say(text, ending, bool(reasoning or usage.reasoning_tokens), message)
    if not text.strip():
        _check_is_empty(value, message)
    logprobs = _logprobs(choice.get("logprobs"), text)
    return Completion(
        text=text,
        finish_reason=ending,
        reasoning=reasoning,
        usage=usage,
        first_tokens=None if logprobs is None else tuple(_first_tokens(logprobs)),
    )


def _first_choice(value: JSONObject) -> JSONObject:
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        feedback = value.get("promptFeedback") or value.get("prompt_feedback")
        if feedback:  # Gemini gives no choice where it blocks the prompt
            said = shortened(str(feedback))
            raise CompletionError("content_filter", f"the provider blocked the prompt: {said}")
        raise RetryableError("bad_reply", f"the reply has no choices: {shortened(str(value))}")
    choice: JSONObject = choices[0]
    return choice


def _message(choice: JSONObject) -> JSONObject:
    message = choice.get("message")
    if message is None:  # the form of a stream, in one piece
        message = choice.get("delta")
    if message is None and isinstance(choice.get("text"), str):  # an endpoint of the older kind
        return {"content": choice["text"]}
    if not isinstance(message, dict):
        raise RetryableError("bad_reply", f"the reply has no message: {shortened(str(choice))}")
    return message


# ------------------------------------------------------------------ its text


def _content(content: object) -> tuple[str, str]:
    """Return the text of a content and the thoughts in it; raises CompletionError where there is
    something that is neither, and no text."""
    if content is None or isinstance(content, str):
        return content or "", ""
    parts = content if isinstance(content, list) else [content]
    texts, thoughts, others = [], [], []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        text = _text_of(part)
        if isinstance(kind, str) and kind in _THOUGHTS:
            thoughts.append(text or "")
        elif text is None:
            others.append(part)
        elif kind == "refusal":
            raise _refusal(text)
        else:
            texts.append(text)
    if others and not "".join(texts).strip():
        seen = shortened(str(others[0]), 200)
        raise CompletionError("bad_reply", f"the reply's content cannot be read: {seen}")
    return "".join(texts), "\n".join(filter(None, thoughts))


def _text_of(part: object) -> str | None:
    """Return the text of a part of a content; None where it has none."""
    if part is None:
        return ""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return None
    for name in ("text", "thinking", "reasoning", "refusal", "content", "value", "data"):
        inner = part.get(name)
        if isinstance(inner, str):
            return inner
        if isinstance(inner, dict | list) and inner:
            texts = [_text_of(one) for one in (inner if isinstance(inner, list) else [inner])]
            return None if None in texts else "".join(filter(None, texts))
    return None


def _reasoning(message: JSONObject, thoughts: str) -> str:
    for name in ("reasoning_content", "reasoning", "thinking", "reasoning_details"):
        reasoning = message.get(name)
        if isinstance(reasoning, str):
            if reasoning.strip():
                return reasoning
        elif reasoning:
            return _text_of({"content": reasoning}) or str(reasoning)
    return thoughts


# ------------------------------------------------------------------ its ending


def _ending_of(choice: JSONObject) -> str | None:
    """Return how a choice ended; where a gateway says that all is well, in the words of the server
    behind it if it knows better."""
    ending = _ending(ending_in(choice))
    native = _ending(choice.get("native_finish_reason"))
    if native == "length" or native in _FILTERED or native in _REFUSED:
        return native if is_whole(ending) else ending
    return ending


def _ending_beside(value: JSONObject) -> str | None:
    """Return how a reply ended where it says so next to its choices, or None."""
    details = value.get("incomplete_details")
    if isinstance(details, dict) and details.get("reason"):
        return _ending(details["reason"])
    return _ending(value["status"]) if value.get("status") in ("incomplete", "failed") else None


def _ending(reason: object) -> str | None:
    """Return an ending as one of ours where it is one of theirs; raises RetryableError where the
    reply broke off."""
    if isinstance(reason, dict):
        reason = reason.get("type") or reason.get("reason") or str(reason)
    if reason is None or not (ending := str(reason).strip()):
        return None
    ending = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", ending.strip("<|>"))  # endTurn, <|im_end|>
    ending = re.sub(r"[\s-]+", "_", ending.lower())
    ending = re.sub(r"^(?:finish|stop)_?reason[_.]+", "", ending)
    if ending in _BROKEN_OFF:
        raise RetryableError("server", f"the reply broke off: {ending}")
    return "length" if ending in _LENGTH else ending


def _check_has_its_say(text: str, ending: str | None, reasoning: bool, message: JSONObject) -> None:
    """Raise CompletionError by name where a reply is not the model's whole say, unless a length
    limit cut it off in its text."""
    if ending in _FILTERED:
        raise CompletionError(
            "content_filter", f"the provider's content filter stopped the reply ({ending})"
        )
    blank = not text.strip()
    if ending in _REFUSED or (blank and message.get("refusal")):
        raise _refusal(str(message.get("refusal") or text or ending))
    called = message.get("tool_calls") or message.get("function_call")
    if ending in _TOOLS or (blank and called):
        raise CompletionError("tool_calls", "the model called a tool instead of answering")
    if blank and ending == "length":
        where = "inside its reasoning" if reasoning else "before its first word"
        raise CompletionError("no_answer", f"the reply was cut off {where}")
    if blank and reasoning:
        raise CompletionError("no_answer", "the model reasoned, and gave no answer")
    if not (ending is None or ending == "length" or ending in _WHOLE):
        raise CompletionError(
            "bad_reply",
            f"the reply ended with {shortened(ending, 80)!r}, which no whole reply does",
        )


def _check_is_empty(value: JSONObject, message: JSONObject) -> None:
    """Raise CompletionError where a blank reply is not one in which the model said nothing."""
    if results := filter_results(value):
        raise CompletionError("content_filter", f"the provider filtered it: {_short(results)}")
    if "content" not in message:
        choice = _short(_first_choice(value))
        raise CompletionError("bad_reply", f"the reply has no content: {choice}")
    for name, said in message.items():
        may_be_it = name in _TEXTS_ELSEWHERE or isinstance(said, list | dict)
        if may_be_it and name not in _NOT_SAID and _holds_anything(said):
            words = f"the reply's content is blank, and its {name} cannot be read"
            raise CompletionError("bad_reply", f"{words}: {_short(said)}")


# In a message next to a blank content, fields that are not the answer, and texts that may be it.
_NOT_SAID = frozenset(
    {"content", "annotations", "provider_specific_fields", "metadata", "usage", "context"}
)
_TEXTS_ELSEWHERE = frozenset({"text", "answer", "output", "output_text", "generated_text"})


def _holds_anything(value: object) -> bool:
    """Return whether a value has anything in it but what says nothing."""
    if isinstance(value, list | dict):
        inner = value.values() if isinstance(value, dict) else value
        return any(_holds_anything(one) for one in inner)
    return bool(value.strip() if isinstance(value, str) else value)


def _short(value: object) -> str:
    return shortened(str(value), 200)


def _refusal(words: str) -> CompletionError:
    return CompletionError("refused", f"the model refused: {shortened(words)}")


# ------------------------------------------------------------------ its first token's chances


def _first_tokens(positions: Sequence[object]) -> Iterator[tuple[str, float]]:
    """Yield the tokens that could have come first, with their log probabilities. White space before
    the first word is not a beginning: the token after it counts, with the probability of both
    together."""
    before = 0.0
    for position in positions:
        chosen, others = _token(position), _alternatives(position)
        yield from ((token, before + logprob) for token, logprob in others)
        # The drawn token is among them, sometimes with a rounded logarithm.
        if chosen is not None and chosen[0] not in dict(others):
            yield chosen[0], before + chosen[1]
        if chosen is None or chosen[0].strip(_SPACES):
            return
        before += chosen[1]


def _logprobs(value: object, text: str) -> list[object] | None:
    """Return the tokens of a reply, or None where there are no alternatives to the first, which
    without them would seem to be the only one."""
    positions = value.get("content") if isinstance(value, dict) else None
    if not isinstance(positions, list):
        return None
    given = _alternatives(positions[0]) if positions else not text
    return positions if given else None


def _alternatives(position: object) -> list[tuple[str, float]]:
    """Return each alternative once, though some servers repeat one."""
    others = position.get("top_logprobs") if isinstance(position, dict) else None
    tokens = [_token(other) for other in others] if isinstance(others, list) else []
    return list(dict.fromkeys(filter(None, tokens)))


def _token(entry: object) -> tuple[str, float] | None:
    token = entry.get("token") if isinstance(entry, dict) else None
    logprob = entry.get("logprob") if isinstance(entry, dict) else None
    if isinstance(token, str) and isinstance(logprob, int | float) and isfinite(logprob):
        # A little above 0 is rounding; what is far above is not a logarithm of a probability.
        return (token, min(0.0, float(logprob))) if logprob < _ROUNDING else None
    return None


# ------------------------------------------------------------------ its tokens


def usage_in(content: bytes) -> Usage:
    """Return the usage that a reply states, whatever else is wrong with it; else nothing."""
    try:
        value = reply_object(content)
    except (RetryableError, CompletionError):
        return Usage()
    usage = value.get("usage")
    found = _usage(usage if isinstance(usage, dict) else {})
    return found if found.prompt_tokens or found.completion_tokens else Usage()


def _usage(usage: JSONObject) -> Usage:
    """Return what a reply took. Tokens in the total that are in neither part are output that some
    providers leave out of it, such as reasoning."""
    prompt = _count(usage.get("prompt_tokens")) or _count(usage.get("input_tokens"))
    completion = _count(usage.get("completion_tokens")) or _count(usage.get("output_tokens"))
    completion = max(completion, _count(usage.get("total_tokens")) - prompt)
    read = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    written = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    return Usage(
        calls=1,
        prompt_tokens=prompt,
        completion_tokens=completion,
        reasoning_tokens=_detail(written, "reasoning_tokens"),
        cached_tokens=_detail(read, "cached_tokens"),
    )


def _detail(details: object, name: str) -> int:
    return _count(details.get(name)) if isinstance(details, dict) else 0


def _count(value: object) -> int:
    if type(value) is int:
        return max(0, value)
    return max(0, int(value)) if isinstance(value, float) and isfinite(value) else 0
