"""Hold the words by which providers say what is wrong: a table of patterns, without regard to case.

To cover another wording, add a part to a pattern, and a line to the table of its test.
"""

from __future__ import annotations

REFUSED = (
    r"unsupported|not support|n't support|unrecognized|unknown (?:parameter|field|argument|name)"
    r"|unexpected|not permitted|not allowed|deprecated|only the default"
)
# Between a refusal and a parameter's name, they make it one of what the conversation is about.
ABOUT = (
    r"\b(?:content|prompts?|topics?|subjects?|questions?|messages?|texts?|conversations?|users?"
    r"|queries|query|asks?|asking|asked|about|discuss\w*|mention\w*|language|words?)\b"
)
CONTEXT = (
    r"context.{0,10}(?:length|window|size)|maximum context|too many (?:input )?tokens"
    r"|prompt is too long|input is too long|exceeds? the (?:available|maximum) (?:context|number)"
    r"|inputs?. tokens \+|range of input length|reduce the length of the|max message tokens"
    r"|too large for model with"
)
TOO_LARGE = (
    r"request.?too.?large|(?:request entity|payload) too large|reduce your message size"
    r"|must be reduced in order to run|maximum (?:allowed )?(?:request )?(?:size|number of bytes)"
)
# Of the tokens in a minute, in that order.
LIMIT_AND_REQUESTED = r"\blimit:? ([0-9][0-9,]{0,12})\b.{0,60}\brequested:? ([0-9][0-9,]{0,12})\b"
CONTENT = (
    r"content.?(?:filter|policy|management)|moderation|flagged|content exists risk"
    r"|inappropriate content|data.?inspection|prohibited.?content|usage polic|不安全|敏感"
    r"|(?:new.|input |output |is |contains? )sensitive\b|sensitive (?:content|words?|information)"
)
QUOTA = (
    r"insufficient.?(?:quota|credit|balance|funds)|exceeded your current quota|credit.?balance"
    r"|(?:out of|no|more|not enough|add) (?:credits?|quota)\b"
    r"|billing.{0,20}(?:limit|inactive|not active)"
    r"|payment required|account.{0,30}(?:arrears|overdue)|(?:quota|credits?|balance).{0,20}exhaust"
    r"|account.{0,12}not active|balance.{0,12}not enough|good standing|arrearage"
    r"|(?:credit|spending|key) limit (?:exceeded|reached)|exceeded.{0,24}credits\b"
    r"|free tier.{0,30}exhaust|budget.{0,20}exceeded|exceed\w*.{0,30}\bbudget"
    r"|(?:reached|hit|exceed\w*) (?:your|the) .{0,30}(?:usage|spend\w*|monthly|credits?) "
    r"(?:spend |usage )?(?:limits?|cap)\b"
    r"|credits?.{0,12}(?:depleted|used up)|欠费|余额不足"
)
KEY = (
    r"(?:incorrect|invalid|expired|revoked|missing|malformed|no|wrong)[ _](?:or \w+ |\w+ )?"
    r"(?:(?:x.)?api.?key|auth(?:entication|orization)?[ _](?:credentials|token|key)|access token"
    r"|bearer token|security token|subscription key)"
    r"|api.?key.{0,20}(?:not valid|invalid|expired|revoked|not found|missing|disabled|required)"
    r"|unauthenticated|not authenticated|authentication (?:failed|fails|error|required)"
    r"|login fail|身份验证|鉴权失败"
    r"|\A\W*(?:invalid (?:api )?token|invalid authentication|unauthorized)\W*(?:\(|\Z)"
    r"|(?:invalid|incorrect|bad|wrong|not validate) credentials"
    r"|authorization header.{0,20}(?:missing|required|invalid)|invalid username or password"
    r"|\Atoken (?:is )?expired|(?:auth\w*|access|security) token.{0,40}(?:expired|invalid)"
)
RATE = (
    r"rate.?limit|too many (?:requests|concurrent)|(?:requests?|tokens?) per (?:second|minute|hour)"
    r"|per.?(?:minute|second)\b|throttl|(?:over|at|exceed\w*|limited) capacity|capacity exceed"
    r"|overloaded|(?:server|model)(?: is)?(?: too)? busy|try again (?:later|in)|slow down"
    r"|\b[rt]pm\b|resource.{0,12}exhausted"
    r"|(?:concurrency|qps).{0,20}(?:limit|reach|exceed)|max.{0,20}concurrency"
    r"|并发|限流|频率|请求过多"
)
# Limits that open again soon, also where the words around them are those of an empty account.
SOON_OPEN = r"per.?(?:minute|second)\b"
LOADING = (
    r"(?:is|still|currently|being) (?:being )?"
    r"(?:loading|loaded(?! with)|starting|warming|initiali[sz]ing|downloading|scaling up)"
    r"|loading (?:the )?model|warming.?up|cold start"
)
# A model that is not loaded may be one that nobody loads, so only a server's failure says enough.
NOT_READY = r"model.{0,20}not (?:yet )?(?:ready|loaded)"
_NO = r"(?:\bnot\b|n't\b|\bun(?:support|expect|recogni|know|allow|avail)\w*)"
_SYSTEM_ROLE = r"\bsystem[\s'\"`]{0,3}(?:role|message|prompt|instruction|turn)s?\b"
SYSTEM = (
    rf"{_SYSTEM_ROLE}.{{0,40}}{_NO}|{_NO}.{{0,40}}{_SYSTEM_ROLE}"
    r"|system.{0,20}not (?:supported|allowed|enabled)|developer instruction.{0,20}not"
    r"|roles must alternate|only .{0,12}user\b.{0,40}\broles?\b|roles?\b.{0,40}got .{0,3}system\b"
    r"|(?:role|input).{0,20}\bsystem\b|invalid value:? .{0,2}system"
    r"|should be .{0,2}user.{0,2} or .{0,2}assistant"
)
# A provider's names for what it does not give besides, or instead of, plain text.
JSON = (
    r"response.?format|json.?(?:schema|object|mode)|structured.?output|grammar"
    r"|guided.?(?:json|decoding)"
)
OR_SCHEMA = r"|\bschema\b"
PROBABILITIES = r"log.?prob"
ENDPOINTS = (
    r"no (?:allowed )?(?:endpoints?|providers?) (?:found )?(?:that|which|match|avail|support)"
)
# More is refused than this request.
ACCESS = r"\bkey|token|auth|permission|account|billing|suspend|disabled|revoked|expired"
NAMED = r"model|deployment|no endpoints found for"
MODEL = (
    r"model.{0,80}(?:not (?:exist|found|available)|n't exist)"
    r"|(?:unknown|invalid|no such|unable to access) model|model_not_found|not a valid model"
    r"|not found: model|decommissioned|requested model is not supported|not a chat model"
    r"|deployment.{0,40}not exist"
)
WANTS_TLS = r"http request.{0,20}https|speaking plain http"
