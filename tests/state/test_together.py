"""Two pages are taken up at once, and two batches are written: neither waits for the other."""

import asyncio

import pytest
from tests.state.conftest import Board, make_store

from holdfast.errors import StoreUnavailableError
from holdfast.state.requests import Adopt, Flush, Page
from holdfast.state.together import together


class Hold:
    """Holds the first of a store's requests of one kind, and says which others are made.

    Attributes:
        go_on: to be set for the first to be carried out.
        answered: kinds of requests that others had answered meanwhile.
    """

    def __init__(self, store, kind):
        self.go_on = asyncio.Event()
        self.answered = asyncio.Queue()
        self._first = None
        self._carry_out = store._port._on_rows[kind]
        for each in (Page, Adopt, Flush):
            store._port._on_rows[each] = self._watched(each, store._port._on_rows[each], kind)

    def _watched(self, kind, carry_out, held):
        async def answer(request):
            if kind is held and self._first is None:
                self._first = request
                await self.go_on.wait()
            found = await carry_out(request)
            if request is not self._first:
                self.answered.put_nowait(kind)
            return found

        return answer

    async def until(self, *kinds):
        """Wait until others had such answers, in this order."""
        async with asyncio.timeout(30):
            for kind in kinds:
                while await self.answered.get() is not kind:
                    pass


async def test_the_next_page_is_read_and_taken_up_meanwhile(db, client, begin):
    """All rows are taken up once."""
    store = make_store(db, client, batch_size=2)
    for _ in range(8):
        await begin()
    pages = []
    held = Hold(store, Adopt)

    recovering = asyncio.create_task(store.recover(progress=lambda each: pages.append(each.rows)))
    await held.until(Page, Page, Adopt, Adopt, Adopt)
    held.go_on.set()
    done = await recovering

    assert (done.rows, done.filled, done.left) == (8, 8, 0)
    assert pages == [2, 4, 6, 8]


async def test_another_batch_is_written_meanwhile(db, client, begin, row):
    """Each state by one of them."""
    store = make_store(db, client, batch_size=2)
    keys = [await begin() for _ in range(5)]
    for key in keys:
        await store.update(key, lambda _: Board(turn=1))
    held = Hold(store, Flush)

    flushing = asyncio.create_task(store.flush())
    await held.until(Flush, Flush)
    held.go_on.set()

    assert await flushing == 5
    assert [(await row(key))[1] for key in keys] == [1] * 5
    assert (await store.stats()).dirty == 0


async def test_a_recovery_that_fails_takes_up_no_more_pages(db, client, begin):
    """Its error is told, and nothing of it goes on behind the caller's back."""
    store = make_store(db, client, batch_size=1)
    for _ in range(9):
        await begin()
    pages = []

    def progress(done):
        pages.append(done.rows)
        if len(pages) == 2:
            raise RuntimeError("the terminal is closed")

    with pytest.raises(RuntimeError, match="the terminal is closed"):
        await store.recover(progress=progress)

    assert len(pages) <= 4
    assert not any("carry_on" in repr(each) for each in asyncio.all_tasks())


async def test_a_cancelled_recovery(db, client, begin):
    """Nothing of it goes on, and another one takes up what it has left."""
    store = make_store(db, client, batch_size=2)
    for _ in range(5):
        await begin()
    held = Hold(store, Adopt)
    recovering = asyncio.create_task(store.recover())
    await held.until(Adopt)

    recovering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recovering

    assert not any("carry_on" in repr(each) for each in asyncio.all_tasks())
    done = await make_store(db, client).recover()
    assert done.rows == 5
    assert done.filled >= 2


async def test_a_batch_that_is_written_while_another_fails(db, client, begin, row, monkeypatch):
    """The error is told once both are at their end; what was not written still waits."""
    store = make_store(db, client, batch_size=2)
    keys = [await begin() for _ in range(4)]
    for key in keys:
        await store.update(key, lambda _: Board(turn=1))
    carry_out, asked = store._port._on_rows[Flush], []

    async def fail_first(request):
        asked.append(request)
        if len(asked) == 1:
            raise StoreUnavailableError("PostgreSQL: away; nothing was done")
        return await carry_out(request)

    monkeypatch.setitem(store._port._on_rows, Flush, fail_first)

    with pytest.raises(StoreUnavailableError, match="away"):
        await store.flush()

    assert sorted([(await row(key))[1] for key in keys]) in ([0, 0, 1, 1], [1, 1, 1, 1])
    await store.flush()
    assert [(await row(key))[1] for key in keys] == [1] * 4


async def test_the_first_error_is_told():
    """After all have come to their own end."""
    ended = []

    async def end(name, turns, error=None):
        for _ in range(turns):
            await asyncio.sleep(0)
        ended.append(name)
        if error:
            raise error

    with pytest.raises(KeyError):
        await together([end("a", 1), end("b", 2, KeyError()), end("c", 9, ValueError())])
    assert ended == ["a", "b", "c"]
    assert await together([asyncio.sleep(0, each) for each in "ab"]) == ["a", "b"]
