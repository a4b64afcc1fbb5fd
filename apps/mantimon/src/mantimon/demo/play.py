"""Players, boosters and decks, by many tasks at once, and the checks that nothing went missing."""

import asyncio
import random
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from redis.asyncio import Redis
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import Database
from mantimon.campaign.rewards import NEW_PLAYER_MANTIBUCKS, NEW_PLAYER_PACKS, PACK_PRICE
from mantimon.cards.definition import ENERGY_TYPES
from mantimon.db.models import Collection, Deck, OAuthProvider, User
from mantimon.services.boosters import open_booster
from mantimon.services.campaign import get_campaign
from mantimon.services.card_service import CardService
from mantimon.services.collections import get_owned
from mantimon.services.deck_rules import DeckList, find_problems
from mantimon.services.decks import build_deck, suggest_deck
from mantimon.services.players import Identity, log_in
from mantimon.services.purse import buy_packs, grant_mantibucks, grant_packs
from mantimon.services.starters import choose_starter, give_starter

PLAYERS = 200
BOOSTERS = 2_000
TASKS = 50
SEED = 372
EXPIRE_SECONDS = 600
EARNED_FOR_A_PACK = PACK_PRICE + 25  # so that something is left, which can be checked

T = TypeVar("T")


class Progress(Protocol):
    """Told how far a step has come."""

    def begin(self, step: str, total: int) -> None:
        """Begin a step of so many parts."""

    def advance(self) -> None:
        """One part more is done."""


@dataclass(slots=True, kw_only=True)
class Played:
    """What was done, and whether each check holds."""

    players: int = 0
    cards_owned: int = 0
    decks: int = 0
    boosters: int = 0
    boosters_per_second: float = 0.0
    checks: dict[str, bool] = field(default_factory=dict)


class Demo:
    """One run, with players of its own.

    Args:
        db: connected as the application.
        redis: counts the boosters that each player opened.
        cards: the catalogue.
    """

    def __init__(self, db: Database, redis: Redis, cards: CardService) -> None:
        self._db = db
        self._redis = redis
        self._cards = cards
        self._run = uuid.uuid4().hex[:12]
        self._sets = [each.code for each in cards.sets]
        self._elements: dict[uuid.UUID, str] = {}
        self._drawn: dict[uuid.UUID, Counter[str]] = defaultdict(Counter)
        self._opened: Counter[str] = Counter()
        self._bought: Counter[uuid.UUID] = Counter()
        self._given: Counter[uuid.UUID] = Counter()
        self._opened_key = f"demo:{self._run}:opened"

    async def play(self, progress: Progress) -> Played:
        """Do everything, then read everything back."""
        progress.begin("players with starters", PLAYERS)
        await _at_once(range(PLAYERS), self._welcome, progress)
        openers = Counter(self._choose_opener(number)[0] for number in range(BOOSTERS))
        progress.begin("packs", len(openers))
        await _at_once(openers.items(), self._stock, progress)
        progress.begin("boosters", BOOSTERS)
        begun = time.perf_counter()
        await _at_once(range(BOOSTERS), self._open_booster, progress)
        seconds = time.perf_counter() - begun
        progress.begin("decks", PLAYERS)
        await _at_once(list(self._elements), self._build_deck, progress)
        progress.begin("checks", PLAYERS)
        return await self._check(progress, BOOSTERS / seconds)

    async def clean_up(self) -> None:
        """Remove the players of this run and all that is theirs."""
        async with self._db.begin() as session:
            await session.execute(delete(User).where(User.oauth_id.startswith(self._run)))
        await self._redis.delete(self._opened_key)

    async def _welcome(self, number: int) -> None:
        element = str(ENERGY_TYPES[number % len(ENERGY_TYPES)])
        identity = Identity(
            provider=OAuthProvider.GOOGLE,
            oauth_id=f"{self._run}-{number}",
            email=f"player-{number}@{self._run}.example",
            display_name=f"Player {number}",
        )
        player = await self._db.run(self._register, identity, element)
        self._elements[player] = element

    async def _register(self, session: AsyncSession, identity: Identity, element: str) -> uuid.UUID:
        user = await log_in(session, identity)
        await give_starter(session, user.id, element, self._sets[0], cards=self._cards)
        return user.id

    async def _stock(self, opener: tuple[uuid.UUID, int]) -> None:
        """Give a player the packs that are to be opened: half are bought, the others a gift."""
        player, packs = opener
        bought, given = packs // 2, packs - packs // 2
        await self._db.run(self._get_packs, player, bought, given)
        self._bought[player], self._given[player] = bought, given

    async def _get_packs(
        self, session: AsyncSession, player: uuid.UUID, bought: int, given: int
    ) -> None:
        await grant_packs(session, player, given)
        if bought:
            await grant_mantibucks(session, player, bought * EARNED_FOR_A_PACK)
            await buy_packs(session, player, bought)

    async def _open_booster(self, number: int) -> None:
        player, rng = self._choose_opener(number)
        drawn = await self._db.run(
            open_booster, player, rng.choice(self._sets), cards=self._cards, rng=rng
        )
        self._drawn[player].update(card.id for card in drawn)
        self._opened[str(player)] += 1
        async with self._redis.pipeline() as pipeline:
            pipeline.hincrby(self._opened_key, str(player), 1)
            pipeline.expire(self._opened_key, EXPIRE_SECONDS)
            await pipeline.execute()

    def _choose_opener(self, number: int) -> tuple[uuid.UUID, random.Random]:
        """Choose who opens a booster, and the chance that decides what is in it."""
        rng = random.Random(SEED + number)  # noqa: S311  -- a demo that repeats, not a secret
        return rng.choice(list(self._elements)), rng

    async def _build_deck(self, player: uuid.UUID) -> None:
        await self._db.run(self._build, player)

    async def _build(self, session: AsyncSession, player: uuid.UUID) -> None:
        deck = suggest_deck(await get_owned(session, player), cards=self._cards)
        await build_deck(session, player, "Best of my cards", deck, cards=self._cards)

    async def _check(self, progress: Progress, boosters_per_second: float) -> Played:
        expected = {player: self._expected(player) for player in self._elements}
        owned: dict[uuid.UUID, dict[str, int]] = {}
        purses: dict[uuid.UUID, tuple[int, int]] = {}

        async def read(player: uuid.UUID) -> None:
            async with self._db.read() as session:
                owned[player] = await get_owned(session, player)
                campaign = await get_campaign(session, player)
                purses[player] = campaign.booster_packs, campaign.mantibucks

        await _at_once(list(expected), read, progress)
        decks = await self._decks()
        cards_owned = await self._count_cards()
        counted = await self._redis.hgetall(self._opened_key)
        drawn = sum(each.total() for each in self._drawn.values())
        return Played(
            players=len(owned),
            cards_owned=cards_owned,
            decks=len(decks),
            boosters=self._opened.total(),
            boosters_per_second=boosters_per_second,
            checks={
                f"each of {len(owned)} players owns exactly the starter and what was drawn": (
                    owned == expected
                ),
                f"{drawn:,} cards drawn and {cards_owned - drawn:,} of starters are all stored": (
                    cards_owned == sum(each.total() for each in expected.values())
                ),
                f"{self._bought.total():,} packs bought and {self._given.total():,} given: "
                "what is left of packs and mantibucks adds up": (
                    purses == {player: self._left(player) for player in self._elements}
                ),
                f"{len(decks)} decks follow the rules, also when read back": (
                    len(decks) == 2 * len(owned)
                    and all(self._holds(deck, owned[deck.user_id]) for deck in decks)
                ),
                f"Redis counted {len(counted)} players' boosters as they were opened": (
                    {_text(name): int(count) for name, count in counted.items()} == self._opened
                ),
            },
        )

    def _expected(self, player: uuid.UUID) -> Counter[str]:
        in_set = self._cards.get_cards_by_set(self._sets[0])
        starter = choose_starter(self._elements[player], in_set)
        return Counter(starter.cards) + self._drawn[player]

    def _left(self, player: uuid.UUID) -> tuple[int, int]:
        packs = NEW_PLAYER_PACKS + self._bought[player] + self._given[player]
        saved = EARNED_FOR_A_PACK - PACK_PRICE
        return (
            packs - self._opened[str(player)],
            NEW_PLAYER_MANTIBUCKS + saved * self._bought[player],
        )

    def _holds(self, deck: Deck, owned: Mapping[str, int]) -> bool:
        listed = DeckList(cards=deck.cards, energy_cards=deck.energy_cards)
        return deck.is_valid and not find_problems(listed, owned=owned, cards=self._cards)

    async def _decks(self) -> list[Deck]:
        async with self._db.read() as session:
            statement = select(Deck).where(Deck.user_id.in_(self._elements))
            return list(await session.scalars(statement))

    async def _count_cards(self) -> int:
        async with self._db.read() as session:
            total = func.coalesce(func.sum(Collection.quantity), 0)
            statement = select(total).where(Collection.user_id.in_(self._elements))
            return int(await session.scalar(statement) or 0)


async def _at_once(
    items: Iterable[T], work: Callable[[T], Awaitable[None]], progress: Progress
) -> None:
    """Call `work` with each item, in so many tasks that share them."""
    waiting = iter(list(items))

    async def take() -> None:
        for item in waiting:
            await work(item)
            progress.advance()

    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(take())


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
