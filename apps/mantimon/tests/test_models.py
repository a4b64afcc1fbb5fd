"""Every model on real PostgreSQL: create, read, update, delete, constraints, JSON."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from holdfast.errors import InvalidValueError
from mantimon.db import models
from mantimon.db.models import (
    ActiveGame,
    Base,
    CampaignProgress,
    CardSource,
    Collection,
    Deck,
    EndReason,
    GameHistory,
    GameType,
    OAuthProvider,
    User,
)

# Model, how the builder is called, and a column with another value to update it to.
MODELS = [
    (User, "user", "display_name", "Somebody else"),
    (Collection, "collection", "quantity", 7),
    (Deck, "deck", "name", "Another name"),
    (CampaignProgress, "campaign", "current_club", "club_2"),
    (ActiveGame, "game", "turn_number", 12),
    (GameHistory, "history", "turn_count", 34),
]
ALL = pytest.mark.parametrize(
    ("model", "kind", "column", "value"), MODELS, ids=[kind for _, kind, _, _ in MODELS]
)


def build(make, kind, player, **values):
    builder = getattr(make, kind)
    return builder(**values) if kind == "user" else builder(player, **values)


async def refused_by(session, thing):
    """Store what the database must refuse; give the column or constraint that it names."""
    session.add(thing)
    with pytest.raises(IntegrityError) as error:
        await session.commit()
    await session.rollback()
    driver_error = error.value.orig.__cause__
    return driver_error.column_name or driver_error.constraint_name


@ALL
async def test_create(*, session, make, player, model, kind, column, value):
    """A new object gets an id of version 7 and both timestamps, without another query."""
    thing = build(make, kind, player)
    session.add(thing)
    await session.commit()

    assert thing.id.version == 7
    assert thing.created_at.tzinfo is UTC
    assert timedelta() <= thing.updated_at - thing.created_at < timedelta(seconds=1)


@ALL
async def test_read(*, session, make, player, store, model, kind, column, value):
    """What was stored is read back equal, column by column."""
    thing = build(make, kind, player, **{column: value})
    await store(thing)

    read = await session.get_one(model, thing.id)

    assert read is not thing
    for name in (column.key for column in model.__table__.c):
        assert getattr(read, name) == getattr(thing, name), name


@ALL
async def test_update(*, session, make, player, store, model, kind, column, value):
    """A changed column is stored, and `updated_at` moves on."""
    thing = build(make, kind, player)
    await store(thing)

    changed = await session.get_one(model, thing.id)
    setattr(changed, column, value)
    await session.commit()
    stored_at = changed.updated_at
    session.expunge_all()

    read = await session.get_one(model, thing.id)
    assert getattr(read, column) == value
    assert read.created_at == thing.created_at
    assert read.updated_at == stored_at > thing.updated_at


@ALL
async def test_delete(*, session, make, player, store, model, kind, column, value):
    """A deleted object is gone."""
    thing = build(make, kind, player)
    await store(thing)

    await session.delete(await session.get_one(model, thing.id))
    await session.commit()

    assert await session.get(model, thing.id) is None


@ALL
async def test_bare_sql_fills_the_defaults(*, session, make, player, model, kind, column, value):
    """A row that another program inserts, with only what has no default, is complete."""
    thing = build(make, kind, player)
    given = {name: v for name, v in vars(thing).items() if not name.startswith("_")}
    row = await session.execute(
        insert(model.__table__).values(id=uuid.uuid4(), **given).returning(model.__table__)
    )

    stored = row.mappings().one()
    assert stored["created_at"] <= stored["updated_at"]
    for each in model.__table__.c:
        assert each.nullable or stored[each.name] is not None, each.name


@ALL
async def test_bulk_update_moves_updated_at(
    *, session, make, player, store, model, kind, column, value
):
    """A bare UPDATE through Core moves `updated_at` as well."""
    thing = build(make, kind, player)
    await store(thing)

    await session.execute(update(model).where(model.id == thing.id).values({column: value}))
    await session.commit()

    read = await session.get_one(model, thing.id)
    assert read.updated_at > thing.updated_at


REQUIRED = [
    ("user", "email"),
    ("user", "display_name"),
    ("user", "oauth_id"),
    ("collection", "user_id"),
    ("collection", "card_definition_id"),
    ("deck", "user_id"),
    ("deck", "name"),
    ("campaign", "user_id"),
    ("game", "player1_id"),
]


@pytest.mark.parametrize(("kind", "column"), REQUIRED)
async def test_required_columns(session, make, player, kind, column):
    """What a row cannot be without is refused by the database when it is missing."""
    assert await refused_by(session, build(make, kind, player, **{column: None})) == column


async def test_user_email_is_unique(session, make, player):
    """Two players cannot have one email address."""
    assert await refused_by(session, make.user(email=player.email)) == "uq_users_email"


async def test_user_identity_is_unique(session, make, player):
    """Two players cannot have one identity at a provider."""
    named = await refused_by(session, make.user(oauth_id=player.oauth_id))

    assert named == "uq_users_oauth_provider_oauth_id"


async def test_user_identity_is_one_per_provider(session, make, player):
    """The same id at another provider is another player."""
    session.add(make.user(oauth_provider="discord", oauth_id=player.oauth_id))
    await session.commit()

    assert await session.scalar(select(func.count()).select_from(User)) == 2


async def test_user_defaults(session, make, player):
    """A new player is not premium, has no picture and has not logged in."""
    assert player.is_premium is False
    assert (player.avatar_url, player.premium_until, player.last_login) == (None, None, None)


async def test_user_times_come_back_in_utc(session, make, store):
    """A time given in another zone is the same instant, in UTC, to the microsecond."""
    given = datetime(2031, 5, 6, 1, 2, 3, 456789, tzinfo=timezone(timedelta(hours=9)))
    user = make.user(premium_until=given)
    await store(user)

    read = await session.get_one(User, user.id)
    assert read.premium_until == given
    assert read.premium_until.utcoffset() == timedelta()


async def test_user_refuses_a_time_without_zone(session, make):
    """A naive time is refused, since it would be stored as the machine's local time."""
    session.add(make.user(premium_until=datetime(2031, 5, 6)))  # noqa: DTZ001  -- what is tested

    with pytest.raises(InvalidValueError, match=r"^users\.premium_until has no time zone"):
        await session.commit()


ENUMS = [
    ("user", "oauth_provider", OAuthProvider),
    ("collection", "source", CardSource),
    ("game", "game_type", GameType),
    ("history", "game_type", GameType),
    ("history", "end_reason", EndReason),
]


@pytest.mark.parametrize(("kind", "column", "members"), ENUMS)
async def test_enums_are_stored_by_value(*, session, make, player, store, kind, column, members):
    """Every member is stored as its value, and comes back as the member."""
    things = [build(make, kind, player, **{column: member}) for member in members]
    await store(*things)

    table = type(things[0]).__table__
    stored = await session.execute(text(f"SELECT DISTINCT {column} FROM {table.name}"))
    assert {member.value for member in members} <= set(stored.scalars())
    for thing, member in zip(things, members, strict=True):
        assert getattr(await session.get_one(type(thing), thing.id), column) is member


@pytest.mark.parametrize(("kind", "column", "members"), ENUMS)
async def test_enums_refuse_what_they_do_not_have(make, player, kind, column, members):
    """An unknown value is refused where it is given, in one line with what there is."""
    with pytest.raises(ValueError, match="is one of") as error:
        build(make, kind, player, **{column: "chess"})

    assert str(error.value) == f"'chess' is no {members.__name__}; it is one of " + ", ".join(
        members
    )


async def test_enum_values_are_those_of_the_requirements():
    """Other programs read these values."""
    assert list(OAuthProvider) == ["google", "discord"]
    assert list(CardSource) == ["starter", "booster", "reward", "purchase"]
    assert list(GameType) == ["campaign", "freeplay", "ranked"]
    assert list(EndReason) == [
        "prizes_taken", "deck_out", "no_active", "concession", "timeout", "draw",
    ]  # fmt: skip


@pytest.mark.parametrize("quantity", [0, -1, -(2**31)])
async def test_collection_quantity_is_at_least_one(session, make, player, quantity):
    """The database itself refuses a quantity below one."""
    named = await refused_by(session, make.collection(player, quantity=quantity))

    assert named == "ck_collections_quantity_positive"


async def test_collection_quantity_cannot_be_updated_below_one(session, make, player, store):
    """Taking away the last copy is a DELETE, not a zero."""
    await store(make.collection(player, quantity=1))

    with pytest.raises(IntegrityError, match='"ck_collections_quantity_positive"'):
        await session.execute(update(Collection).values(quantity=Collection.quantity - 1))


async def test_collection_has_one_row_for_a_card(session, make, player, store):
    """A player has one row for a card; another player has another."""
    await store(make.collection(player, card_definition_id="card"))

    named = await refused_by(session, make.collection(player, card_definition_id="card"))

    assert named == "uq_collections_user_id_card_definition_id"


async def test_collection_of_two_players(session, make, player, rival, store):
    """Two players may own the same card."""
    await store(*(make.collection(user, card_definition_id="card") for user in (player, rival)))

    assert await session.scalar(select(func.count()).select_from(Collection)) == 2


async def test_deck_defaults(session, make, player, store):
    """A new deck is empty, not checked, and no starter."""
    deck = make.deck(player)
    await store(deck)

    read = await session.get_one(Deck, deck.id)
    assert (read.cards, read.energy_cards, read.validation_errors) == ({}, {}, None)
    assert (read.is_valid, read.is_starter, read.starter_type) == (False, False, None)


async def test_deck_json_is_jsonb(session, make, player, store):
    """Cards are JSONB: the database can look into them."""
    await store(make.deck(player, cards={"a": 2, "b": 4}, name="found"), make.deck(player))

    found = await session.scalars(text("SELECT name FROM decks WHERE cards @> '{\"b\": 4}'"))
    assert found.all() == ["found"]


async def test_deck_cards_changed_in_place_are_stored(session, make, player, store):
    """Adding a card to a loaded deck is noticed."""
    deck = make.deck(player, cards={"a": 1}, energy_cards={"tide": 1}, validation_errors=["x"])
    await store(deck)

    changed = await session.get_one(Deck, deck.id)
    changed.cards["b"] = 2
    changed.energy_cards["tide"] += 9
    changed.validation_errors.append("y")
    await session.commit()
    session.expunge_all()

    read = await session.get_one(Deck, deck.id)
    assert read.cards == {"a": 1, "b": 2}
    assert read.energy_cards == {"tide": 10}
    assert read.validation_errors == ["x", "y"]


async def test_campaign_lists_changed_in_place_are_stored(session, make, player, store):
    """A medal won is noticed, and the lists keep their order."""
    campaign = make.campaign(player, medals=["first"])
    await store(campaign)

    changed = await session.get_one(CampaignProgress, campaign.id)
    changed.medals.append("second")
    changed.defeated_npcs.extend(["z", "a"])
    await session.commit()
    session.expunge_all()

    read = await session.get_one(CampaignProgress, campaign.id)
    assert (read.medals, read.defeated_npcs) == (["first", "second"], ["z", "a"])


async def test_campaign_defaults(session, make, player, store):
    """A campaign begins at the first club with nothing."""
    campaign = make.campaign(player)
    await store(campaign)

    read = await session.get_one(CampaignProgress, campaign.id)
    assert read.current_club == "club_1"
    assert (read.medals, read.defeated_npcs) == ([], [])
    assert (read.total_wins, read.total_losses, read.booster_packs, read.mantibucks) == (0,) * 4


@pytest.mark.parametrize("counter", ["total_wins", "total_losses", "booster_packs", "mantibucks"])
async def test_campaign_counters_are_never_negative(session, make, player, counter):
    """The database itself refuses to go below zero."""
    named = await refused_by(session, make.campaign(player, **{counter: -1}))

    assert named == f"ck_campaign_progress_{counter}_not_negative"


async def test_campaign_is_one_for_a_player(session, make, player, store):
    """A player has one campaign."""
    await store(make.campaign(player))

    assert await refused_by(session, make.campaign(player)) == "uq_campaign_progress_user_id"


async def test_game_defaults(session, make, player, store):
    """A new game is at turn 0, against nobody yet, with a version and the times of its own."""
    game, other = make.game(player), make.game(player)
    await store(game, other)

    read = await session.get_one(ActiveGame, game.id)
    assert read.turn_number == 0
    assert read.version > 0
    assert read.version != (await session.get_one(ActiveGame, other.id)).version
    assert (read.player2_id, read.npc_id, read.turn_deadline) == (None, None, None)
    assert (read.rules_config, read.game_state) == ({}, {})
    assert read.last_action_at - read.started_at < timedelta(seconds=1)


async def test_game_version_takes_the_store_s_numbers(session, make, player, store):
    """The version has all 63 bits: the state store's numbers do not fit into fewer."""
    game = make.game(player, version=2**63 - 1)
    await store(game)

    assert (await session.get_one(ActiveGame, game.id)).version == 2**63 - 1


DEEP = {
    "zones": [{"hand": ["a", "b"], "prizes": [None, True, 1.5]}],
    "text": "Ünïcode ☃ \"quoted\" \\ 'and' \n more",
    "empty": {"list": [], "object": {}},
    "large": 2**53,
}


@pytest.mark.parametrize(
    ("kind", "column"),
    [("game", "game_state"), ("game", "rules_config"), ("history", "replay_data")],
)
async def test_json_comes_back_as_it_was(*, session, make, player, store, kind, column):
    """Nested values, all types and hostile text survive the way through JSONB."""
    thing = build(make, kind, player, **{column: DEEP})
    await store(thing)

    assert getattr(await session.get_one(type(thing), thing.id), column) == DEEP


async def test_json_none_is_null(session, make, player, store):
    """None in a nullable JSON column is SQL's NULL, not the JSON value null."""
    await store(make.history(player, replay_data=None), make.deck(player, validation_errors=None))

    assert await session.scalar(text("SELECT count(*) FROM game_history WHERE replay_data IS NULL"))
    assert await session.scalar(text("SELECT count(*) FROM decks WHERE validation_errors IS NULL"))


@pytest.mark.parametrize("value", [float("nan"), "\x00"])
async def test_json_that_postgresql_cannot_hold_is_refused(session, make, player, value):
    """What JSONB cannot hold is an error, never another value."""
    session.add(make.game(player, game_state={"value": value}))

    with pytest.raises(InvalidValueError, match=r"^active_games\.game_state "):
        await session.commit()


async def test_history_defaults(session, make, player, store):
    """A game that was played has no winner and no replay unless they are given."""
    history = make.history(player)
    await store(history)

    read = await session.get_one(GameHistory, history.id)
    assert (read.winner_id, read.replay_data, read.turn_count, read.duration_seconds) == (
        None, None, 0, 0,
    )  # fmt: skip
    assert abs(datetime.now(UTC) - read.played_at) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("kind", "column", "constraint"),
    [
        ("game", "turn_number", "ck_active_games_turn_number_not_negative"),
        ("history", "turn_count", "ck_game_history_turn_count_not_negative"),
        ("history", "duration_seconds", "ck_game_history_duration_seconds_not_negative"),
    ],
)
async def test_counts_are_never_negative(*, session, make, player, kind, column, constraint):
    """A negative count is refused by the database."""
    assert await refused_by(session, build(make, kind, player, **{column: -1})) == constraint


@pytest.mark.parametrize(
    ("kind", "column"), [("user", "email"), ("deck", "name"), ("collection", "card_definition_id")]
)
async def test_text_that_is_too_long_is_refused(session, make, player, kind, column):
    """Text is never cut: one that does not fit is an error."""
    session.add(build(make, kind, player, **{column: "x" * 400}))

    with pytest.raises(InvalidValueError, match=rf"\.{column} has 400 characters"):
        await session.commit()


async def test_a_failed_row_takes_the_others_with_it(session, make, player):
    """Nothing of a transaction is stored when one of its rows is refused."""
    session.add_all([make.collection(player), make.collection(player, quantity=0)])
    with pytest.raises(IntegrityError):
        await session.commit()
    await session.rollback()

    assert await session.scalar(select(func.count()).select_from(Collection)) == 0


async def test_ids_rise_with_time(session, make, player, store):
    """Objects that are made one after the other are in the order of their ids."""
    decks = [make.deck(player, name=str(number)) for number in range(50)]
    await store(*decks)

    names = await session.scalars(select(Deck.name).order_by(Deck.id))
    assert names.all() == [str(number) for number in range(50)]


async def test_parameters_stay_out_of_errors(session, make, player):
    """What the database refuses is not repeated in the error of the statement."""
    session.add(make.user(email=player.email, display_name="a-private-name"))

    with pytest.raises(IntegrityError) as error:
        await session.commit()
    assert "a-private-name" not in str(error.value)


async def test_bare_delete_needs_no_objects(session, make, player, store):
    """Rows are deleted by a statement as well."""
    await store(*(make.deck(player) for _ in range(3)))

    gone = await session.execute(delete(Deck).where(Deck.user_id == player.id))
    assert gone.rowcount == 3


INDEXES = [
    ("users", "UNIQUE", "(email)"),
    ("users", "UNIQUE", "(oauth_provider, oauth_id)"),
    ("collections", "UNIQUE", "(user_id, card_definition_id)"),
    ("collections", "", "(user_id)"),
    ("decks", "", "(user_id)"),
    ("campaign_progress", "UNIQUE", "(user_id)"),
    ("active_games", "", "(player1_id)"),
    ("active_games", "", "(player2_id)"),
    ("game_history", "", "(player1_id, played_at, id)"),
    ("game_history", "", "(player2_id, played_at, id)"),
    ("game_history", "", "(winner_id)"),
]


@pytest.mark.parametrize(("table", "kind", "columns"), INDEXES)
async def test_indexes(session, table, kind, columns):
    """The indexes that look-ups and foreign keys need are there."""
    found = await session.scalars(
        text("SELECT indexdef FROM pg_indexes WHERE tablename = :table"), {"table": table}
    )
    assert any(kind in index and f"{columns}" in index for index in found)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("decks", "cards"),
        ("decks", "energy_cards"),
        ("decks", "validation_errors"),
        ("campaign_progress", "medals"),
        ("campaign_progress", "defeated_npcs"),
        ("active_games", "rules_config"),
        ("active_games", "game_state"),
        ("game_history", "replay_data"),
    ],
)
async def test_json_columns_are_jsonb(session, table, column):
    """JSON columns are JSONB in the migrated database."""
    kind = await session.scalar(
        text(
            "SELECT data_type FROM information_schema.columns"
            " WHERE table_name = :table AND column_name = :column"
        ),
        {"table": table, "column": column},
    )
    assert kind == "jsonb"


def test_models_exports_everything():
    """`mantimon.db.models` has all models, the enums and the base, and says so."""
    mapped = {mapper.class_.__name__ for mapper in Base.registry.mappers}
    enums = {"CardSource", "EndReason", "GameType", "OAuthProvider"}

    assert set(models.__all__) == mapped | enums | {"Base", "standings"}
    assert all(hasattr(models, name) for name in models.__all__)


def test_every_table_has_the_common_columns():
    """The table of every model has `id`, `created_at` and `updated_at`."""
    for mapper in Base.registry.mappers:
        table = mapper.local_table
        assert {"id", "created_at", "updated_at"} <= set(table.columns.keys()), table.name
