"""The form of an upload under any bytes, in any pieces: the file comes out as it went in, or an ApiError does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.platform.files.uploads import form

from abyssal.client.uploads import upload_form
from abyssal.platform.http.multipart import UploadForm
from abyssal.wire.errors import ApiError

KIND = "multipart/form-data; boundary=b"
CUTS = st.lists(st.integers(1, 40), max_size=30)
BYTES = st.lists(
    st.sampled_from([b"--", b"b", b"\r\n", b"\r\n--b", b"\0", b"x" * 50, b": ", b'"']), max_size=20
)


def read(body: bytes, cuts: list[int]) -> tuple[bytes, UploadForm]:
    reader = UploadForm(KIND)
    content, at = b"", 0
    for cut in [*cuts, len(body)]:
        content += reader.feed(body[at : at + cut])
        at += cut
    content += reader.feed(body[at:])
    reader.end()
    return content, reader


@given(BYTES.map(b"".join).filter(lambda content: b"\r\n--b" not in b"\r\n" + content), CUTS)
def test_the_content_comes_out_as_it_went_in(content: bytes, cuts: list[int]) -> None:
    body = form(('name="purpose"', b"batch"), ('name="file"; filename="a"', content), boundary="b")
    found, reader = read(body, cuts)
    assert found == content
    assert (reader.fields, reader.filename) == ({"purpose": "batch"}, "a")


@given(st.binary(max_size=300) | BYTES.map(b"".join), CUTS)
def test_any_bytes_are_a_form_or_refused(body: bytes, cuts: list[int]) -> None:
    for whole in (body, b"--b\r\n" + body, form(('name="file"', b"x"), boundary="b")[:-8] + body):
        refusal: ApiError | None = None
        try:
            read(whole, cuts)
        except ApiError as error:
            refusal = error
        assert refusal is None or 400 <= refusal.status_code < 500


NAMES = st.characters(exclude_categories=["Cs"], exclude_characters="\\")  # a path of Windows loses its head


@given(st.text(NAMES, max_size=60), st.binary(max_size=200))
def test_what_the_sdk_writes_is_read(name: str, content: bytes) -> None:
    body, kind = upload_form(content, name, {"purpose": "vision"}, "0f" * 16)
    reader = UploadForm(kind)
    assert reader.feed(body) == content
    reader.end()
    assert reader.filename == name.replace("\r", " ").replace("\n", " ").replace("%22", '"')
