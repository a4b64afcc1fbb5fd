"""Users: made once, found, listed page by page, deleted, and refused in one line."""

import asyncio
import uuid

import pytest
from sqlalchemy import func, select

from faceplate.db.session import get_session
from faceplate.errors import InvalidInputError, NotFoundError, TakenError
from faceplate.models import User
from faceplate.services.users import (
    create_user,
    delete_user,
    ensure_user,
    find_user,
    get_user,
    list_users,
)
from holdfast.errors import ConfigurationError

ANN = {"email": "ann@example.test", "subject_id": "oidc|ann"}


async def test_create_and_find(db):
    """A new user is found by id, address, subject and both."""
    async with get_session() as session:
        ann = await create_user(session, **ANN)

    async with db.read() as session:
        assert (await get_user(session, ann.id)).email == "ann@example.test"
        for by in (ANN, {"email": "ann@EXAMPLE.test"}, {"subject_id": "oidc|ann"}):
            found = await find_user(session, **by)
            assert found.id == ann.id
        assert await find_user(session, email=ANN["email"], subject_id="other") is None
        assert await find_user(session) is None


@pytest.mark.parametrize(
    ("taken", "says"),
    [
        (ANN, "'ann@example.test' belongs to another user|'oidc|ann' is a user already"),
        (ANN | {"subject_id": "b"}, "^e-mail 'ann@example.test' belongs to another user$"),
        (ANN | {"email": "b@example.test"}, r"^subject 'oidc\|ann' is a user already$"),
    ],
)
async def test_taken(db, session, taken, says):
    """An address or subject that is used is named, in one line."""
    async with get_session() as first:
        await create_user(first, **ANN)

    with pytest.raises(TakenError, match=says):
        await db.run(create_user, **taken)

    assert await session.scalar(select(func.count()).select_from(User)) == 1


@pytest.mark.parametrize("subject", ["", " ", "a\nb", "x" * 256, "nul\0", "\ud800", None, 7])
async def test_a_subject_that_is_none(session, subject):
    """A subject that cannot be one is refused before anything is sent."""
    with pytest.raises(InvalidInputError, match=r"^subject_id is .*; it has 1 to 255 printable"):
        await create_user(session, email=ANN["email"], subject_id=subject)
    with pytest.raises(InvalidInputError, match=r"^subject_id is "):
        await ensure_user(session, email=ANN["email"], subject_id=subject)

    assert await session.scalar(select(func.count()).select_from(User)) == 0


async def test_an_address_that_is_none(session):
    """So is an address."""
    with pytest.raises(InvalidInputError, match=r"^email is 'ann'"):
        await create_user(session, email="ann", subject_id="s")
    with pytest.raises(InvalidInputError, match=r"^email is 'ann'"):
        await ensure_user(session, email="ann", subject_id="s")


async def test_ensure_makes_a_user_once(session):
    """The second call gives the same user, whose address stays as it is."""
    first = await ensure_user(session, **ANN)
    second = await ensure_user(session, email="new@example.test", subject_id=ANN["subject_id"])

    assert second.id == first.id
    assert second.email == ANN["email"]


async def test_ensure_refuses_the_address_of_another(session):
    """An address opens nobody else's account, and the session can be used further."""
    await ensure_user(session, **ANN)

    with pytest.raises(TakenError, match=r"^e-mail 'ann@example.test' belongs to another user$"):
        await ensure_user(session, email=ANN["email"], subject_id="other")

    assert (await ensure_user(session, **ANN)).email == ANN["email"]


async def test_many_first_log_ins_at_once_make_one_user(database):
    """Twenty tasks that come in with one subject for the first time are one user."""
    users = await asyncio.gather(*(database.run(ensure_user, **ANN) for _ in range(20)))

    assert len({user.id for user in users}) == 1


async def test_pages(session, store, make):
    """Page by page every user is listed once, the oldest first."""
    users = [make.user() for _ in range(25)]
    await store(*users)
    listed, after = [], None
    for size in (10, 10, 5):
        page = await list_users(session, after=after, limit=10)
        assert len(page.items) == size
        listed, after = [*listed, *page.items], page.next

    assert after is None
    assert [user.id for user in listed] == [user.id for user in users]


async def test_a_page_that_is_full_is_the_last_one(session, store, make):
    """No empty page follows a last one that is full."""
    await store(make.user(), make.user())

    assert (await list_users(session, limit=2)).next is None


@pytest.mark.parametrize("after", ["", "x", "1-2", "999999999999999999999-" + "0" * 32, 7])
async def test_a_place_that_is_none(session, after):
    """What no page has given is refused in one line."""
    with pytest.raises(ConfigurationError, match=r"^after is .*; it is what the page before"):
        await list_users(session, after=after)


@pytest.mark.parametrize("limit", [0, 10_001, None, True, pytest.param(10**5000, id="huge")])
async def test_a_limit_that_is_none(session, limit):
    """A limit that is no number of rows is refused in one line."""
    with pytest.raises(InvalidInputError, match=r"^limit is .*; it is between 1 and 10000$"):
        await list_users(session, limit=limit)


async def test_delete(session, user):
    """A deleted user is gone, and cannot be deleted again."""
    await delete_user(session, user.id)

    assert await session.scalar(select(func.count()).select_from(User)) == 0
    with pytest.raises(NotFoundError, match=f"^there is no user {user.id}$"):
        await delete_user(session, user.id)


async def test_nobody(session):
    """A user that does not exist is one line."""
    nobody = uuid.uuid4()
    with pytest.raises(NotFoundError, match=f"^there is no user {nobody}$"):
        await get_user(session, nobody)
