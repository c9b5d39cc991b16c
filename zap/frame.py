"""How the lines on a runner's socket are framed, whatever they say: hello, calls, answers.

Each side sends one JSON object per line. The runner begins: `{"zap": VERSION, "protocol": 1, "plan": PATH, "pid":
PID, "keeper": PID}`. Then who dials sends calls, `{"id": 7, "verb": "tail", "job": "web/api"}`, with any integer as id;
each is answered under it: `{"id": 7, "result": …}`, or `{"id": 7, "error": WHY, "code": EXIT CODE}`. A `watch` is first
answered by any number of `{"id": 7, "event": …}`.

An error with `"id": null` answers a line that is no call; who is not let in, in place of the hello; and a line of more
than a mebibyte, after which the runner hangs up. It also does when the client says that nothing more will come
(shutdown(2)), once everything before that is answered.

What the verbs are, and how words become plain data, is told in `wire`; who does not need to know starts faster.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from zap.errors import ZapError

Plain = Any  # what json.loads gives: dict, list, str, int, float, bool, None

PROTOCOL = 1  # both sides must speak the same
REPEATABLE = (  # verbs that do no harm when they are asked for twice, because nobody knows whether they were heard
    *("plan", "tail", "watch", "unwatch", "attend", "resize", "clear"),
    *("start", "stop", "pause", "resume", "need", "reload", "close"),
)
UNKNOWN = "another runner has taken over meanwhile, and nobody knows whether this was done: look, and ask again"
MOST_CALL = 1024 * 1024  # bytes of a line that a runner takes

# To make an encoder, as json.dumps does, takes as long as to encode a short message.
_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)


class Hello(NamedTuple):
    """How a runner begins: its version, the protocol that it speaks, its plan's path, its process, and that of its
    keeper, 0 where there is none.
    """

    zap: str
    protocol: int
    plan: str
    pid: int
    keeper: int = 0


def encode(message: Mapping[str, Plain]) -> bytes:
    """One line."""
    return _ENCODER.encode(message).encode() + b"\n"


def call_line(number: int, fields: Mapping[str, Plain]) -> bytes:
    """A call. ZapError: it is longer than a runner takes."""
    line = encode({"id": number} | dict(fields))
    if len(line) > MOST_CALL:
        raise ZapError(f"this is too much for one call: it makes {len(line)} bytes, and a runner takes {MOST_CALL}")
    return line


def read_answer(line: bytes | bytearray) -> dict[str, Plain]:
    """What a runner says in a line. ZapError: it is no runner that says this."""
    try:
        answer = json.loads(line.decode())
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ZapError("what answers there is no runner of zap")
    return answer


def read_hello(data: Mapping[str, Plain]) -> Hello:
    """ZapError: we are not let in, or it speaks another protocol than we do."""
    if "error" in data:
        raise error_of(data)
    if data.get("protocol") != PROTOCOL:
        version = data.get("zap", "another version")
        raise ZapError(f"the runner is of zap {version}, which this one cannot talk to: end it with its own `zap down`")
    return Hello(data["zap"], data["protocol"], data["plan"], data["pid"], data.get("keeper", 0))


def result_of(answer: Mapping[str, Plain]) -> Plain:
    """ZapError: what the answer tells instead."""
    if "error" in answer:
        raise error_of(answer)
    return answer["result"]


def error_of(answer: Mapping[str, Plain]) -> ZapError:
    error = ZapError(answer["error"])
    error.code = answer["code"]
    return error
