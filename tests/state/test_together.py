"""Pages of rows are taken up at once: none waits for the others."""

import asyncio

import pytest
from tests.state.conftest import make_store

from holdfast.state.requests import Adopt, Page
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
        for each in (Page, Adopt):
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
