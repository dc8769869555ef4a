"""What is the same for every step: making the call, and printing the line that the runner reads."""

import asyncio
import hashlib
import inspect
import json
import time
from typing import Any, Awaitable, Callable

import grpc
from pydantic import BaseModel
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

READ = "read"  # must succeed
WRITE = "write"  # idempotent: must succeed
UNSAFE = "unsafe"  # may fail when the wire fails, and is then repeated by the user

MAX_REPEATS = 20
REPEAT_PAUSE = 0.05  # seconds
MAX_RESULT = 300  # characters of a result that are shown


async def value(result: Any) -> Any:
    """Awaits what the async client returns; the sync client's results are there already."""
    return await result if inspect.isawaitable(result) else result


async def step(name: str, kind: str, call: Callable[[], Any | Awaitable[Any]]) -> None:
    """Makes a call and reports its outcome.

    An unsafe call that failed because Qdrant was out of reach is made again, as a user would: the steps after it need
    what it does.
    """
    line: dict[str, Any] = {"step": name, "kind": kind, "ok": False}
    repeats: list[str] = []
    start = time.monotonic()
    while True:
        try:
            result = await value(call())
            error = None
        except (Exception, asyncio.CancelledError, grpc.FutureCancelledError) as e:
            result, error = None, describe(e)
        if kind == UNSAFE and error and error["code"] in ("UNAVAILABLE", "503") and len(repeats) < MAX_REPEATS:
            repeats.append(error["message"])
            await asyncio.sleep(REPEAT_PAUSE)
            continue
        break
    line["ms"] = round((time.monotonic() - start) * 1000, 3)
    if repeats:
        line["repeats"] = repeats
    if error:
        line["error"] = error
    else:
        text = json.dumps(canonical(result), sort_keys=True, ensure_ascii=False)
        line |= {"ok": True, "result": text[:MAX_RESULT], "digest": hashlib.sha256(text.encode()).hexdigest()[:16]}
    report(line)


def report(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def describe(error: BaseException) -> dict[str, str]:
    """What the user can tell of an exception."""
    described = {"type": type(error).__name__, "code": "", "message": str(error)}
    if isinstance(error, grpc.RpcError):
        described |= {"code": error.code().name, "message": error.details() or ""}
    elif isinstance(error, UnexpectedResponse):
        described |= {"code": str(error.status_code), "message": sentence(error.content.decode(errors="replace"))}
    elif isinstance(error, ResponseHandlingException):
        described |= {"code": type(error.source).__name__, "message": str(error.source)}
    if described["code"] in ("CANCELLED", "DEADLINE_EXCEEDED"):
        described["message"] = ""  # who notices first, the client or the server, is a race
    return described


def sentence(content: str) -> str:
    """What an answer over REST says of an error, beside which it says how long that took."""
    try:
        return json.loads(content)["status"]["error"]
    except (ValueError, KeyError, TypeError):
        return content


def canonical(result: Any) -> Any:
    """A result as plain data, without what differs between equal runs.

    A write that had to be repeated counts twice in the numbers of operations and versions of points.
    """
    if isinstance(result, BaseModel):
        result = result.model_dump(mode="json")
    if isinstance(result, dict):
        counted = "version" if "id" in result else "operation_id"
        return {key: canonical(each) for key, each in result.items() if key not in (counted, "time")}
    if isinstance(result, (list, tuple)):
        return [canonical(each) for each in result]
    return result
