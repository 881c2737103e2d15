"""Calls through one SDK and says what that cost its process: `python -m bench.load.sdk_caller --sdk abyssal`.

Only the SDK that is asked for is imported. After some calls that do not count, the process's own user and
system time is divided by the calls (or streamed chunks) that follow. Prints one JSON object: `cpu`
(seconds, all threads), `units` (calls, or chunks), `seconds`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from typing import Any

from bench.load import payloads

_MESSAGES = [
    {"role": "system", "content": "You answer briefly."},
    {"role": "user", "content": "Why is the deep sea dark?"},
]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _client(arguments: argparse.Namespace) -> Any:
    options: dict[str, Any] = {
        "api_key": "bench-key-0123456789abcdefghij",
        "base_url": f"http://127.0.0.1:{arguments.port}/v1",
    }
    if arguments.sdk == "openai":
        import openai

        return (openai.AsyncOpenAI if arguments.at_once else openai.OpenAI)(**options)
    import abyssal

    if arguments.at_once:
        options["pool_size"] = arguments.at_once  # the OpenAI SDK's default pool holds a thousand
    return (abyssal.AsyncDeepSeekClient if arguments.at_once else abyssal.DeepSeekClient)(**options)


def _request(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "model": payloads.MODEL,
        "messages": _MESSAGES,
        "temperature": 0,
        "max_tokens": arguments.events or 64,
        "stream": bool(arguments.events),
    }


def _sync(client: Any, request: dict[str, Any], calls: int) -> int:
    units = 0
    for _ in range(calls):
        answer = client.chat.completions.create(**request)
        if not request["stream"]:
            units += bool(answer.choices[0].message.content)
            continue
        with answer as stream:
            for chunk in stream:
                units += chunk.choices[0].delta.content is not None
    return units


async def _async(client: Any, request: dict[str, Any], calls: int, at_once: int) -> int:
    async def some(number: int) -> int:
        units = 0
        for _ in range(calls // at_once + (number < calls % at_once)):
            answer = await client.chat.completions.create(**request)
            if not request["stream"]:
                units += bool(answer.choices[0].message.content)
                continue
            async with answer as stream:
                async for chunk in stream:
                    units += chunk.choices[0].delta.content is not None
        return units

    return sum(await asyncio.gather(*map(some, range(at_once))))


def _measured(arguments: argparse.Namespace) -> dict[str, float]:
    request = _request(arguments)
    client = _client(arguments)
    warm = {**request, "max_tokens": 20} if arguments.events else request
    if not arguments.at_once:
        _sync(client, warm, arguments.warm)
        began, before = time.perf_counter(), _cpu()
        units = _sync(client, request, arguments.calls)
        return {"cpu": _cpu() - before, "units": units, "seconds": time.perf_counter() - began}

    async def run() -> dict[str, float]:
        await _async(client, warm, arguments.warm, arguments.at_once)
        began, before = time.perf_counter(), _cpu()
        units = await _async(client, request, arguments.calls, arguments.at_once)
        return {"cpu": _cpu() - before, "units": units, "seconds": time.perf_counter() - began}

    return asyncio.run(run())


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="bench.load.sdk_caller")
    parser.add_argument("--sdk", choices=("abyssal", "openai"), required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--warm", type=int, default=64, help="calls that do not count")
    parser.add_argument("--at-once", type=int, default=0, help="0 for the sync client")
    parser.add_argument("--events", type=int, default=0, help="content events per call; 0 for plain calls")
    print(json.dumps(_measured(parser.parse_args())))


if __name__ == "__main__":
    main()
