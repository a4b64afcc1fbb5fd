"""How the models belong together on real PostgreSQL: loading, cascades, and what stays."""

import uuid

import pytest
from sqlalchemy import delete, func, inspect, select
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.orm import Mapped, joinedload, mapped_column, selectinload

from holdfast import models as library
from holdfast.testing import count_statements
from mantimon.db.models import (
    ActiveGame,
    CampaignProgress,
    Collection,
    Deck,
    GameHistory,
    User,
)

OWNED = [("collection", "collections"), ("deck", "decks"), ("campaign", "campaign")]
# What goes with a player: how it is built, and the column that names the player.
CASCADES = [
    ("collection", "user_id"),
    ("deck", "user_id"),
    ("campaign", "user_id"),
    ("game", "player1_id"),
    ("game", "player2_id"),
]
HISTORY = ["player1_id", "player2_id", "winner_id"]


def build(make, kind, player, **values):
    return getattr(make, kind)(player, **values)


async def count(session, model):
    return await session.scalar(select(func.count()).select_from(model))


@pytest.mark.parametrize(("kind", "relation"), OWNED)
async def test_player_has_what_it_owns(*, session, make, player, rival, store, kind, relation):
    """A player's things are loaded with the player, and nobody else's."""
    mine = build(make, kind, player)
    await store(mine, build(make, kind, rival))

    loaded = await session.get_one(User, player.id, options=[selectinload(getattr(User, relation))])

    found = getattr(loaded, relation)
    assert [each.id for each in (found if isinstance(found, list) else [found])] == [mine.id]


@pytest.mark.parametrize(("kind", "relation"), OWNED)
async def test_what_is_owned_has_its_player(*, session, make, player, store, kind, relation):
    """The other direction: a thing is loaded with its player."""
    thing = build(make, kind, player)
    await store(thing)

    loaded = await session.get_one(type(thing), thing.id, options=[joinedload(type(thing).user)])

    assert loaded.user.email == player.email


@pytest.mark.parametrize(("kind", "relation"), OWNED)
async def test_new_things_get_the_player_from_the_relation(
    *, session, make, player, store, kind, relation
):
    """A thing that is given a player, and no id, is stored with the player's id."""
    thing = build(make, kind, player, user_id=None, user=player)
    await store(thing)

    assert (await session.get_one(type(thing), thing.id)).user_id == player.id


@pytest.mark.parametrize(("kind", "relation"), OWNED)
async def test_player_is_stored_with_new_things(session, make, store, kind, relation):
    """One `add` stores a new player with what it owns."""
    user = make.user()
    thing = build(make, kind, user, user=user)
    await store(user)

    assert (await session.get_one(type(thing), thing.id)).user_id == user.id


@pytest.mark.parametrize(("kind", "relation"), OWNED)
async def test_what_is_taken_from_its_player_is_deleted(
    *, session, make, player, store, kind, relation
):
    """What belongs to nobody is not kept."""
    thing = build(make, kind, player)
    await store(thing)

    user = await session.get_one(User, player.id, options=[selectinload(getattr(User, relation))])
    setattr(user, relation, [] if relation != "campaign" else None)
    await session.commit()

    assert await count(session, type(thing)) == 0


@pytest.mark.parametrize("relation", ["collections", "decks", "campaign"])
async def test_nothing_is_loaded_behind_an_attribute(session, player, store, relation):
    """An attribute that is not loaded says so clearly, and `refresh` loads it."""
    await store()
    user = await session.get_one(User, player.id)

    with pytest.raises(InvalidRequestError, match="raise_on_sql"):
        getattr(user, relation)

    await session.refresh(user, [relation])
    assert not getattr(user, relation)


@pytest.mark.parametrize(("kind", "column"), CASCADES)
async def test_deleting_a_player_deletes_what_goes_with_it(
    *, session, make, player, rival, store, kind, column
):
    """The ORM's delete takes the player's things, and leaves those of others."""
    values = {"player2_id": player.id} if column == "player2_id" else {}
    mine = build(make, kind, rival if values else player, **values)
    others = build(make, kind, rival)
    await store(mine, others)

    await session.delete(await session.get_one(User, player.id))
    await session.commit()

    assert (await session.scalars(select(type(mine).id))).all() == [others.id]


@pytest.mark.parametrize(("kind", "column"), CASCADES)
async def test_sql_delete_takes_what_goes_along(
    *, session, make, player, rival, store, kind, column
):
    """A bare DELETE does the same: the database cascades, not the ORM."""
    values = {"player2_id": player.id} if column == "player2_id" else {}
    mine = build(make, kind, rival if values else player, **values)
    others = build(make, kind, rival)
    await store(mine, others)

    await session.execute(delete(User.__table__).where(User.__table__.c.id == player.id))
    await session.commit()

    assert (await session.scalars(select(type(mine).id))).all() == [others.id]


async def test_deleting_a_player_loads_nothing(*, db, session, make, player, rival, store):
    """One DELETE is sent, whatever the player owns and has played."""
    things = [build(make, kind, player) for kind in ("collection", "deck", "campaign", "game")]
    games = [make.history(player, player2_id=rival.id, winner_id=player.id) for _ in range(20)]
    await store(*things, *games)
    user = await session.get_one(User, player.id)

    with count_statements(db) as sent:
        await session.delete(user)
        await session.commit()

    assert [" ".join(each.sql.split()) for each in sent.statements] == [
        "DELETE FROM users WHERE users.id = $1::UUID"
    ]
    assert await count(session, GameHistory) == 20


@pytest.mark.parametrize("how", ["orm", "sql"])
@pytest.mark.parametrize("column", HISTORY)
async def test_history_stays_without_the_player(
    *, session, make, player, rival, store, column, how
):
    """A deleted player's columns of history become NULL; the game and its other columns stay."""
    seats = dict.fromkeys(HISTORY, rival.id) | {column: player.id}
    game = make.history(rival, replay_data={"moves": [1, 2]}, turn_count=9, **seats)
    await store(game)

    if how == "orm":
        await session.delete(await session.get_one(User, player.id))
    else:
        await session.execute(delete(User.__table__).where(User.__table__.c.id == player.id))
    await session.commit()

    kept = await session.get_one(GameHistory, game.id)
    assert {name: getattr(kept, name) for name in HISTORY} == seats | {column: None}
    assert (kept.replay_data, kept.turn_count) == ({"moves": [1, 2]}, 9)


async def test_history_of_two_deleted_players_stays(session, make, player, rival, store):
    """A game is kept even when nobody is left who played it."""
    await store(make.history(player, player2_id=rival.id, winner_id=rival.id))

    await session.execute(delete(User.__table__))
    await session.commit()

    kept = (await session.scalars(select(GameHistory))).one()
    assert (kept.player1_id, kept.player2_id, kept.winner_id) == (None, None, None)


@pytest.mark.parametrize(
    ("model", "relation", "column"),
    [
        (ActiveGame, "player1", "player1_id"),
        (ActiveGame, "player2", "player2_id"),
        (GameHistory, "player1", "player1_id"),
        (GameHistory, "player2", "player2_id"),
        (GameHistory, "winner", "winner_id"),
    ],
)
async def test_games_have_their_players(
    *, session, make, player, rival, store, model, relation, column
):
    """Each seat of a game, and the winner, is loaded as a player of its own."""
    builder = make.game if model is ActiveGame else make.history
    game = builder(player, **{"player2_id": player.id, column: rival.id})
    await store(game)

    loaded = await session.get_one(model, game.id, options=[joinedload(getattr(model, relation))])

    assert getattr(loaded, relation).id == rival.id


@pytest.mark.parametrize(
    ("kind", "column"), [*CASCADES, *(("history", column) for column in HISTORY)]
)
async def test_a_player_must_exist(session, make, player, kind, column):
    """A row that names a player who does not exist is refused."""
    session.add(build(make, kind, player, **{column: uuid.uuid4()}))

    with pytest.raises(IntegrityError) as error:
        await session.commit()
    assert f"_{column}_users" in str(error.value.orig)


async def test_a_deck_can_be_moved_to_another_player(session, make, player, rival, store):
    """A deck that is given to another player belongs to that player alone."""
    deck = make.deck(player)
    await store(deck)
    options = [selectinload(User.decks)]
    giver = await session.get_one(User, player.id, options=options)
    taker = await session.get_one(User, rival.id, options=options)

    taker.decks.append(giver.decks[0])
    await session.commit()
    session.expunge_all()

    assert (await session.get_one(Deck, deck.id)).user_id == rival.id
    assert (await session.get_one(User, player.id, options=options)).decks == []


async def test_everything_of_a_player_in_few_statements(db, session, make, player, store):
    """A player with all relations takes one statement each, not one for each row."""
    cards = [make.collection(player) for _ in range(30)]
    await store(*cards, make.deck(player), make.deck(player), make.campaign(player))
    options = [selectinload(User.collections), selectinload(User.decks), joinedload(User.campaign)]

    with count_statements(db) as sent:
        user = await session.get_one(User, player.id, options=options)

    assert (len(user.collections), len(user.decks)) == (30, 2)
    assert user.campaign is not None
    assert len(sent) == 3


def test_every_foreign_key_says_what_happens():
    """No foreign key leaves a deleted player to chance: it cascades, or becomes NULL."""
    rules = {
        f"{model.__tablename__}.{column.name}": key.ondelete
        for model in (Collection, Deck, CampaignProgress, ActiveGame, GameHistory)
        for column in inspect(model).columns
        for key in column.foreign_keys
    }

    assert rules == {
        "collections.user_id": "CASCADE",
        "decks.user_id": "CASCADE",
        "campaign_progress.user_id": "CASCADE",
        "active_games.player1_id": "CASCADE",
        "active_games.player2_id": "CASCADE",
        "game_history.player1_id": "SET NULL",
        "game_history.player2_id": "SET NULL",
        "game_history.winner_id": "SET NULL",
    }


def test_another_application_may_have_a_user_too():
    """Names in relationships are Mantimon's own, whatever else the process has mapped."""

    class User(library.UUIDKey, library.Base):
        __tablename__ = "relations_test_users"
        name: Mapped[str] = mapped_column()

    assert User.metadata is not Deck.metadata
    assert User.registry is not Deck.registry
    assert inspect(Deck).relationships["user"].mapper.class_.__module__.startswith("mantimon.")
