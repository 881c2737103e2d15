"""Whatever workers and the control process do in their lives, every call is in the usage table once."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from .drained import Books, opened, settled


class Life(RuleBasedStateMachine):
    """Workers write, die and are replaced; the control process drains, fails, dies and starts again."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="abyssal-")
        self.books = Books(Path(self.directory.name))
        self.count = 0
        self.begin()
        self.ended: dict[str, int] = {}  # what was acknowledged
        self.cut: set[str] = set()

    def begin(self) -> None:
        self.count += 1
        self.name = f"w{self.count}"
        self.writer = self.books.writer(self.name)
        self.at_work: list[str] = []

    @rule()
    def open(self) -> None:
        self.count += 1
        self.writer.append(opened(f"c{self.count}"))
        self.at_work.append(f"c{self.count}")

    @precondition(lambda self: self.at_work)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        call = self.at_work.pop(data.draw(st.integers(0, len(self.at_work) - 1)))
        self.ended[call] = self.count
        self.writer.append(settled(call, self.count))

    @rule(many=st.integers(1, 12))
    def traffic(self, many: int) -> None:
        for _ in range(many):
            self.count += 1
            self.writer.append(opened(f"c{self.count}"))
            self.writer.append(settled(f"c{self.count}", self.count))
            self.ended[f"c{self.count}"] = self.count

    @rule()
    def prepare(self) -> None:
        self.writer.prepare()

    @rule()
    def worker_dies(self) -> None:
        self.cut.update(self.at_work)
        self.begin()

    @rule(fails=st.sampled_from(("", "", "before", "after")))
    def drain(self, fails: str) -> None:
        self.books.store.fails = fails
        try:
            self.books.step(self.name)
        except OSError:
            assert fails
        self.books.store.fails = ""

    @rule(fails=st.sampled_from(("", "before", "after")))
    def control_dies(self, fails: str) -> None:
        self.drain(fails)
        self.books.drain.close()
        self.cut.update(self.at_work)
        self.books.restart()
        self.begin()

    @invariant()
    def no_row_is_wrong(self) -> None:
        for call, (status, code, tokens) in self.books.rows.items():
            if call in self.ended:
                assert (status, tokens) == (200, self.ended[call])
            else:
                assert call in self.cut
                assert (status, code) == (500, "worker_lost")

    def teardown(self) -> None:
        self.cut.update(self.at_work)
        self.books.step()
        assert set(self.books.rows) == set(self.ended) | self.cut
        assert self.books.files == []
        self.no_row_is_wrong()
        self.books.close()
        self.directory.cleanup()


Life.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestLife = Life.TestCase
