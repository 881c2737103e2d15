"""What other formats cost over the official one: translated calls and events, WebSocket, Protobuf.

All are asked of one gateway, in turn with the official format, and of the same upstream.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from bench.contenders import gateway, nginx
from bench.contenders.running import Running
from bench.load import payloads, python
from bench.results import Finding, Row, difference, ratio
from bench.results import plain as as_it_is
from bench.rows import plain, sse
from bench.rows.contest import Cost, cost_of
from bench.setting import Setting, say, started
from bench.spawn import BenchError

LARGE = 16_000  # bytes of a prompt
TURNS = 50
_ROUNDS = 2  # times the usual: differences are small
_SECONDS = 2.0

CALL = Row("translated plain call (Anthropic) less a relayed one, CPU", 60.0, "µs")
LARGE_CALL = Row("the same with a prompt of 16 kB", 60.0, "µs")
EVENT = Row("translated stream event (Anthropic) less a relayed one, CPU", 12.0, "µs")
SOCKET = Row("WebSocket event ÷ SSE event, CPU", 1.5)
FIRST = Row("first text over an open WebSocket ÷ over HTTP keep-alive, time", 1.0)
PROTOBUF = Row("Protobuf ÷ JSON, bytes of a chat of 50 turns", 0.67)
ROWS = (CALL, LARGE_CALL, EVENT, SOCKET, FIRST, PROTOBUF)


def measure(setting: Setting) -> Iterator[Finding]:
    """Plain calls, streams, first events, sizes."""
    yield from _calls(setting)
    yield from _events(setting)
    yield _first(setting)
    yield _protobuf()


def _calls(setting: Setting) -> Iterator[Finding]:
    with ExitStack() as stack:
        upstream = started(stack, nginx.upstream(setting.scratch, setting.cores.load))
        ours = started(stack, gateway.relay(setting.scratch, setting.cores.proxy, upstream.port))
        take = partial(plain.per_call, setting, ours, seconds=_SECONDS)
        for row, prompt in ((CALL, None), (LARGE_CALL, _text(LARGE))):
            costs = setting.in_turn(
                {
                    "translated": partial(
                        take,
                        path=payloads.MESSAGES_PATH,
                        body=payloads.messages_body(stream=False, prompt=prompt),
                    ),
                    "relayed": partial(take, body=payloads.request_body(stream=False, prompt=prompt)),
                },
                setting.rounds * _ROUNDS,
            )
            yield difference(row, _totals(costs["translated"]), _totals(costs["relayed"]))


def _events(setting: Setting) -> Iterator[Finding]:
    events = int(setting.seconds(sse.SECONDS / 2) / sse.INTERVAL)
    body = payloads.messages_body(stream=True, max_tokens=events).decode()
    messages = ["--path", payloads.MESSAGES_PATH, "--body", body, "--last", '"type":"message_stop"']
    with ExitStack() as stack:
        port = sse.upstream(stack, setting.scratch, setting.cores.load)
        ours = started(stack, gateway.relay(setting.scratch, setting.cores.proxy, port))
        costs = setting.in_turn(
            {
                "relayed": partial(_per_event, setting, ours, "sse_reader", events, []),
                "translated": partial(_per_event, setting, ours, "sse_reader", events, messages),
                "socket": partial(_per_event, setting, ours, "socket_reader", events, []),
            },
            setting.rounds * _ROUNDS,
        )
    relayed = _totals(costs["relayed"])
    yield difference(EVENT, _totals(costs["translated"]), relayed)
    yield ratio(SOCKET, _totals(costs["socket"]), relayed, unit="µs", scale=1e6)


def _per_event(setting: Setting, relay: Running, reader: str, events: int, more: list[str]) -> Cost:
    """CPU for each event that the upstream sent, whatever became of it."""

    def load(count: int) -> float:
        arguments = ["--port", str(relay.port), "--key", relay.key, "--streams", str(sse.STREAMS)]
        arguments += ["--events", str(count), "--stagger-ms", f"{1000 * sse.INTERVAL / sse.STREAMS:.4f}"]
        process = python.launch(reader, arguments + more, scratch=setting.scratch, cores=setting.cores.load)
        seen = python.result(process, events * sse.INTERVAL * 10 + 30)
        if seen.get("events", seen.get("messages", 0)) < sse.STREAMS * count:
            raise BenchError(f"{sse.STREAMS * count} texts were sent, fewer came: {seen}")
        return sse.STREAMS * payloads.events_in_stream(count)

    cost = cost_of(relay, lambda: load(events))
    say(f"{reader} {' '.join(more[:2])}: {cost} per event")
    return cost


def _first(setting: Setting) -> Finding:
    calls = int(setting.seconds(3.0) * 300)
    with ExitStack() as stack:
        port = sse.upstream(stack, setting.scratch, setting.cores.load, at_once=True)
        ours = started(stack, gateway.relay(setting.scratch, setting.cores.proxy, port))
        arguments = ["--port", str(ours.port), "--key", ours.key, "--calls", str(calls)]

        def take() -> dict[str, float]:
            process = python.launch(
                "first_event", arguments, scratch=setting.scratch, cores=setting.cores.load
            )
            seen = python.result(process, 120)
            say(f"first text: HTTP {seen['http']:.0f}, WebSocket {seen['socket']:.0f} µs")
            return seen

        take()
        rounds = setting.in_turn({"both": take}, setting.rounds * _ROUNDS)["both"]
    http, socket = ([seen[name] / 1e6 for seen in rounds] for name in ("http", "socket"))
    return ratio(FIRST, socket, http, unit="µs", scale=1e6)


def _protobuf() -> Finding:
    from abyssal.wire.protobuf.codec import CHAT, encode_request

    sizes = {name: _sizes(chat, partial(encode_request, CHAT)) for name, chat in _chats().items()}
    ratios = {name: packed / written for name, (written, packed) in sizes.items()}
    note = ", ".join(f"{name} {share:.2f}" for name, share in ratios.items())
    written, packed = sizes["short"]
    return as_it_is(PROTOBUF, [ratios["short"]], ours=f"{packed} B", theirs=f"{written} B", note=note)


def _chats() -> dict[str, bytes]:
    """Chats of 50 turns as `json.dumps` writes them: of 40 or 200 letters, or of 36 Chinese characters."""
    texts = {"short": _text(40), "long": _text(200), "Chinese": "深海之所以黑暗，是因为水会吸收光线。" * 2}
    chats: dict[str, bytes] = {}
    for name, text in texts.items():
        said = [{"role": ("user", "assistant")[turn % 2], "content": text} for turn in range(TURNS)]
        chats[name] = json.dumps({"model": payloads.MODEL, "messages": said}).encode()
    return chats


def _sizes(chat: bytes, pack: Callable[[bytes], bytes]) -> tuple[int, int]:
    return len(chat), len(pack(chat))


def _text(length: int) -> str:
    return ("Why is the deep sea dark? Water absorbs light. " * (length // 40 + 1))[:length]


def _totals(costs: list[Cost]) -> list[float]:
    return [cost.total for cost in costs]
