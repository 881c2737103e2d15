"""Files in chats: what a call names or brings is what the upstream reads; nobody else waits."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.gateway.messages import KEY, Answer
from tests.unit.gateway.stage import PROJECT, Client, Stage

from abyssal.gateway.link import Ask, Told
from abyssal.stores.conversation_inquiries import Opened
from abyssal.stores.file_inquiries import READ, Found, Stored, Wanted
from abyssal.stores.rights import BITS
from abyssal.wire.errors import UnavailableError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 1000
PDF = b"%PDF-1.7\nbinary \xff"
ID, OTHER = "file-api-" + "a" * 24, "file-api-" + "b" * 24


def url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def named(file_id: str = ID) -> dict[str, Any]:
    return {"type": "file", "file": {"file_id": file_id}}


def brought(data: str, name: str = "notes.md") -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, "filename": name}}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


def image(address: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address, **more}}


class Chat:
    """A chat with parts, and the control process that is asked for its files."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage, self.folder = stage, folder
        self.files: dict[str, Stored] = {}
        self.client: Client

    def store(self, file_id: str, content: bytes, media_type: str, name: str = "notes.md") -> None:
        path = self.folder / file_id
        path.write_bytes(content)
        self.files[file_id] = Stored(name, media_type, len(content), str(path))

    def ask(self, *parts: dict[str, Any], **fields: Any) -> Client:
        messages = [{"role": "user", "content": list(parts)}]
        self.client = self.stage.client().ask(**{"messages": messages, **fields})
        return self.client

    @property
    def question(self) -> Ask:
        (question,) = (one for one in self.stage.told if isinstance(one, Ask))
        assert question.topic == READ
        return question

    def tell(self) -> None:
        """The control process answers."""
        wanted = msgspec.msgpack.decode(self.question.body, type=Wanted)
        assert wanted.project == PROJECT.id
        found = Found([self.files.get(file_id) for file_id in wanted.file_ids])
        self.stage.gateway.take(Told(self.question.number, 200, msgspec.msgpack.encode(found)))

    def settle(self) -> None:
        """Until the thread is done: the upstream is asked, or the client answered."""
        deadline = time.monotonic() + 20
        while not self.stage.server.connections and not self.client.bytes:
            self.stage.turn()
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def parts(self) -> Any:
        """What the upstream reads of the last message's content."""
        self.settle()
        return self.stage.server.last.request.json()["messages"][-1]["content"]

    def refusal(self) -> Answer:
        self.settle()
        assert not self.stage.server.connections
        return self.client.answer()


@pytest.fixture
def chat(stage: Stage, tmp_path: Path) -> Chat:
    return Chat(stage, tmp_path)


def test_a_picture_becomes_a_data_url(chat: Chat) -> None:
    chat.store(ID, PNG, "image/png")
    chat.ask(text("what is this?"), named(), image("https://example.com/cat.png"))
    chat.tell()
    assert chat.parts() == [
        text("what is this?"),
        image(url("image/png", PNG)),
        image("https://example.com/cat.png"),
    ]


@pytest.mark.parametrize(
    "part", [image(ID, detail="low"), {"type": "image_url", "image_url": {"file_id": ID, "detail": "low"}}]
)
def test_a_picture_by_its_id(chat: Chat, part: dict[str, Any]) -> None:
    chat.store(ID, PNG, "image/png")
    chat.ask(part)
    chat.tell()
    assert chat.parts() == [image(url("image/png", PNG), detail="low")]


def test_an_address_may_be_the_id_alone(chat: Chat) -> None:
    chat.store(ID, PNG, "image/png")
    chat.ask({"type": "image_url", "image_url": ID})
    chat.tell()
    assert chat.parts() == [image(url("image/png", PNG))]


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/markdown", "application/json", "text/x-python", "image/svg+xml"]
)
def test_a_text_becomes_a_text_part_under_its_name(chat: Chat, kind: str) -> None:
    content = 'line\n"quoted" \\ \x07 \u2028 深度' * 30_000  # several pieces
    chat.store(ID, content.encode(), kind, 'no"tes.md')
    chat.ask(named(), text("sum it up"))
    chat.tell()
    assert chat.parts() == [text(f'File no"tes.md:\n\n{content}'), text("sum it up")]


def test_all_other_bytes_are_kept_and_every_message_is_looked_at(chat: Chat) -> None:
    chat.store(ID, b"one", "text/plain", "1.txt")
    chat.store(OTHER, b"two", "text/plain", "2.txt")
    body = (
        '{"model": "m", "x": 1.0e+2, "messages": [{"role":"system","content":"s"},'
        '{"content": [%s,{"type":"text","text":"\\u00e9"}], "role": "user", "name":"n" },'
        '{"role":"assistant","content":[{"type":"text","text":"a"}],"tool_calls":[ ]},'
        '{"role":"user","content":[%s, %s]}]}'
    ) % tuple(msgspec.json.encode(part).decode() for part in (named(), named(OTHER), named()))
    chat.client = chat.stage.client().ask(body.encode())
    assert msgspec.msgpack.decode(chat.question.body, type=Wanted).file_ids == [ID, OTHER]
    chat.tell()
    chat.settle()
    sent = chat.stage.server.last.request
    assert b'"x":1.0e+2' in sent.body
    assert b'{"type":"text","text":"\\u00e9"}' in sent.body
    assert b'"tool_calls":[ ]' in sent.body
    messages = sent.json()["messages"]
    assert messages[1] == {"role": "user", "name": "n", "content": [text("File 1.txt:\n\none"), text("é")]}
    assert messages[3]["content"] == [text("File 2.txt:\n\ntwo"), text("File 1.txt:\n\none")]


@pytest.mark.parametrize("prefix", ["data:text/plain;base64,", "DATA:;BASE64,", ""])
def test_a_text_that_is_brought_along(chat: Chat, prefix: str) -> None:
    content = "# Title\n深度" * 60_000
    chat.ask(brought(prefix + base64.b64encode(content.encode()).decode()))
    assert chat.parts() == [text(f"File notes.md:\n\n{content}")]
    assert chat.stage.told[-1].__class__ is not Ask


def test_a_picture_that_is_brought_along_is_what_it_is(chat: Chat) -> None:
    chat.ask(brought(url("text/plain", PNG), "x.txt"))
    assert chat.parts() == [image(url("image/png", PNG))]


def test_an_upstream_that_takes_files_gets_them(make_stage: Any, tmp_path: Path) -> None:
    chat = Chat(make_stage(kind="deepseek"), tmp_path)
    chat.store(ID, PDF, "application/pdf", "paper.pdf")
    own = brought("whatever it is", "x.pdf")
    chat.ask(named(), own)
    chat.tell()
    assert chat.parts() == [brought(url("application/pdf", PDF), "paper.pdf"), own]


def test_brought_files_alone_do_not_wait_where_they_are_taken(make_stage: Any, tmp_path: Path) -> None:
    chat = Chat(make_stage(kind="deepseek"), tmp_path)
    body = b'{"model":"m" ,"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"x"}}]}]}'
    chat.client = chat.stage.client().ask(body)
    assert chat.stage.server.last.request.body == body.replace(b'"m"', b'"their-model"')


def test_a_request_without_files_is_asked_at_once(chat: Chat) -> None:
    chat.ask(text(f"what is {ID}, a file?"), image("https://example.com/a.png"))
    assert len(chat.stage.server.connections) == 1
    assert not [one for one in chat.stage.told if isinstance(one, Ask)]


# What is refused


def check(answer: Answer, status: int, code: str, param: str | None) -> None:
    assert (answer.status, answer.error["code"], answer.error["param"]) == (status, code, param)


@pytest.mark.parametrize("file_id", [OTHER, "file-abc", "x\0", "", "../../etc/passwd"])
def test_what_there_is_not_is_not_found(chat: Chat, file_id: str) -> None:
    chat.ask(text("a"), named(file_id))
    chat.tell()
    check(chat.refusal(), 404, "not_found", "messages[0].content[1]")


AT = "messages[0].content[0]"
BAD: list[tuple[dict[str, Any], int, str, str]] = [
    ({"type": "file"}, 400, "invalid_value", f"{AT}.file"),
    ({"type": "file", "file": {}}, 400, "invalid_value", f"{AT}.file"),
    ({"type": "file", "file": {"file_id": ID, "file_data": "x"}}, 400, "invalid_value", f"{AT}.file"),
    ({"type": "file", "file": {"file_id": 7}}, 400, "invalid_value", AT),
    (brought("data:text/plain,hello"), 400, "invalid_value", f"{AT}.file.file_data"),
    (brought("no base64!"), 400, "invalid_value", f"{AT}.file.file_data"),
    (brought("QUJ"), 400, "invalid_value", f"{AT}.file.file_data"),
    (brought(url("image/png", PNG)[:-4] + "!!!!"), 400, "invalid_value", f"{AT}.file.file_data"),
    (brought(url("application/pdf", PDF)), 400, "unsupported_content", AT),
    (brought(url("text/plain", b"x" * 9000 + b"caf\xe9")), 400, "unsupported_content", AT),
    (brought(url("text/plain", b"x" * 9000 + b"\xe6\xb7")), 400, "unsupported_content", AT),
]  # fmt: skip


@pytest.mark.parametrize(("part", "status", "code", "param"), BAD)
def test_parts_that_cannot_be(chat: Chat, part: dict[str, Any], status: int, code: str, param: str) -> None:
    chat.ask(part)
    check(chat.refusal(), status, code, param)


@pytest.mark.parametrize(
    ("part", "content", "kind"),
    [
        (named(), PDF, "application/pdf"),
        (named(), b"\0\1", "application/octet-stream"),
        (named(), b"caf\xe9", "text/plain"),
        (image(ID), b"hello", "text/plain"),
        (image(ID), PDF, "application/pdf"),
    ],
)
def test_what_models_cannot_be_shown(chat: Chat, part: dict[str, Any], content: bytes, kind: str) -> None:
    chat.store(ID, content, kind)
    chat.ask(part)
    chat.tell()
    check(chat.refusal(), 400, "unsupported_content", AT)


def test_a_file_that_went_meanwhile(chat: Chat) -> None:
    chat.store(ID, b"hello", "text/plain")
    chat.ask(named())
    (chat.folder / ID).unlink()
    chat.tell()
    check(chat.refusal(), 404, "not_found", AT)


def test_over_the_limit_together(make_stage: Any, tmp_path: Path) -> None:
    config = (
        '[[upstreams]]\nname = "up"\nkind = "openai"\nbase_url = "http://up.test"\n[files]\nin_chat = 1000\n'
    )
    config += '[[models]]\nname = "m"\ntargets = [{ upstream = "up" }]\n'
    chat = Chat(make_stage(config), tmp_path)
    chat.store(ID, b"x" * 400, "text/plain")
    chat.ask(named(), brought(base64.b64encode(b"x" * 300).decode()), named())
    chat.tell()
    check(chat.refusal(), 413, "files_too_large", "messages")
    client = chat.ask(brought(base64.b64encode(b"x" * 1100).decode()))
    check(client.answer(), 413, "files_too_large", "messages")


def test_too_many(chat: Chat) -> None:
    client = chat.ask(*[named()] * 101)
    check(client.answer(), 400, "invalid_value", "messages")


def test_stored_files_need_the_scope(chat: Chat) -> None:
    from tests.unit.gateway.stage import HASH_KEY

    from abyssal.stores.api_keys import digest_of
    from abyssal.stores.snapshot import CredentialRecord, Entry, encode_record

    record = CredentialRecord("key_1", "api_key", "proj_1", "", BITS["chat"], None, None, 0)
    chat.stage.take(entries=(Entry(digest_of(KEY.encode(), HASH_KEY), encode_record(record)),))
    check(chat.ask(named()).answer(), 403, "scope_missing", None)
    chat.ask(brought(base64.b64encode(b"mine").decode()))
    assert chat.parts() == [text("File notes.md:\n\nmine")]


def test_the_control_process_is_away_or_says_no(chat: Chat) -> None:
    chat.ask(named())
    error = UnavailableError("no", code="store_unavailable")
    chat.stage.gateway.take(Told(chat.question.number, 503, error.as_json()))
    check(chat.refusal(), 503, "store_unavailable", None)


def test_the_control_process_stalls(chat: Chat) -> None:
    client = chat.ask(named())
    chat.stage.pass_time(14)
    assert client.bytes == b""
    chat.stage.pass_time(2)
    check(client.answer(), 503, "unavailable", None)


def test_the_client_leaves(chat: Chat) -> None:
    chat.store(ID, b"hello", "text/plain")
    chat.ask(named()).leave()
    assert chat.stage.gateway.caps.in_flight == 0
    chat.tell()
    chat.stage.turn()
    assert not chat.stage.server.connections


class Remembering(Chat):
    """A chat that goes on with a conversation, whose history names a file."""

    def open(self, system: list[dict[str, Any]], *parts: dict[str, Any]) -> None:
        messages = [*system, {"role": "user", "content": list(parts)}]
        self.client = self.stage.client().ask(messages=messages, conversation_id="conv_1")
        (question,) = (one for one in self.stage.told if isinstance(one, Ask))
        history = [
            {"role": "user", "content": [text("look"), named()]},
            {"role": "assistant", "content": "I did"},
        ]
        opened = Opened(b'[{"role":"system","content":"S"}]', [json.dumps(history).encode()], True)
        self.stage.gateway.take(Told(question.number, 200, msgspec.msgpack.encode(opened)))
        self.stage.told.remove(question)
        self.stage.turn()


@pytest.fixture
def remembering(stage: Stage, tmp_path: Path) -> Remembering:
    return Remembering(stage, tmp_path)


SYSTEM: list[list[dict[str, Any]]] = [[], [{"role": "system", "content": "T"}]]


@pytest.mark.parametrize("system", SYSTEM, ids=len)
def test_a_remembered_file_is_put_in_anew(remembering: Remembering, system: list[dict[str, Any]]) -> None:
    remembering.store(ID, b"what it says", "text/plain")
    remembering.open(system, text("and now?"))
    remembering.tell()
    assert remembering.parts() == [text("and now?")]
    messages = remembering.stage.server.last.request.json()["messages"]
    assert messages[-3]["content"] == [text("look"), text("File notes.md:\n\nwhat it says")]


@pytest.mark.parametrize("system", SYSTEM, ids=len)
def test_a_remembered_file_that_is_gone_does_not_end_the_conversation(
    remembering: Remembering, system: list[dict[str, Any]]
) -> None:
    remembering.open(system, text("and now?"))
    remembering.tell()
    assert remembering.parts() == [text("and now?")]
    messages = remembering.stage.server.last.request.json()["messages"]
    assert messages[-3]["content"] == [text("look"), text(f"(The file {ID} is not stored any more.)")]


@pytest.mark.parametrize("system", SYSTEM, ids=len)
def test_a_file_of_the_call_is_named_by_its_place_in_the_call(
    remembering: Remembering, system: list[dict[str, Any]]
) -> None:
    remembering.open(system, text("and this?"), named(OTHER))
    remembering.tell()
    refusal = remembering.refusal()
    assert (refusal.status, refusal.error["param"]) == (404, f"messages[{len(system)}].content[1]")
