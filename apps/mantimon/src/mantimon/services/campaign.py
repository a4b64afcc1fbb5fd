"""Play through the clubs: who may be challenged, what a game changes, and how far a player is.

The members of a club may be played in any order, its leader when all of them were beaten. Clubs
that were left behind stay open: a win there pays, and brings no second medal.
"""

import uuid

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from mantimon.campaign.clubs import CLUBS, PLACES, Club, Npc, find_npc
from mantimon.campaign.rewards import MANTIBUCKS_FOR_A_WIN, PACKS_FOR_A_MEDAL
from mantimon.db.models import CampaignProgress
from mantimon.errors import NotFoundError, NotReachedError
from mantimon.services.inputs import LARGEST_STORED, show


async def record_campaign_game(
    session: AsyncSession, user_id: uuid.UUID, npc_id: str, *, won: bool
) -> CampaignProgress:
    """Write down a game that a player won or lost against somebody of a club.

    A win pays mantibucks and, the first time, adds to who was beaten. Beating the leader of the
    current club brings its medal and some packs, once, and leads to the next club; after the last
    one `current_club` is `FINISHED`. A counter that has reached what its column holds stays there.

    Results of one player wait for each other, so none is lost. Who could be challenged when a
    game began can still be when it ends: progress is never taken back.

    Args:
        session: the caller commits.
        user_id: the player.
        npc_id: the opponent.
        won: by the player.

    Raises:
        NotFoundError: the player has no campaign, or there is no such opponent; it lists those of
            the current club. Nothing is written.
        NotReachedError: the opponent is of a later club, or leads the current one and its members
            were not all beaten. Nothing is written.
    """
    progress = await lock_campaign(session, user_id)
    club, npc = _opponent(progress, npc_id)
    if won:
        _win(progress, club, npc)
    else:
        progress.total_losses = _more(progress.total_losses, 1)
    await session.flush()
    return progress


async def find_opponent(session: AsyncSession, user_id: uuid.UUID, npc_id: str) -> Npc:
    """Give somebody whom a player may challenge now, for whoever begins a game.

    Raises:
        NotFoundError, NotReachedError: as for `record_campaign_game`.
    """
    return _opponent(await get_campaign(session, user_id), npc_id)[1]


async def get_campaign(session: AsyncSession, user_id: uuid.UUID) -> CampaignProgress:
    """Give a player's campaign.

    Raises:
        NotFoundError: there is none.
    """
    return _require(user_id, await session.scalar(_of(user_id)))


async def lock_campaign(session: AsyncSession, user_id: uuid.UUID) -> CampaignProgress:
    """Give a player's campaign as it is now, and let nobody else change it in the meantime.

    Others wait until the transaction ends; reading goes on.

    Raises:
        NotFoundError: there is none.
    """
    # Of no key: whoever stores what belongs to the player need not wait.
    locked = _of(user_id).with_for_update(key_share=True)
    return _require(user_id, await session.scalar(locked))


def _win(progress: CampaignProgress, club: Club, npc: Npc) -> None:
    progress.total_wins = _more(progress.total_wins, 1)
    progress.mantibucks = _more(progress.mantibucks, MANTIBUCKS_FOR_A_WIN)
    if npc.id not in progress.defeated_npcs:
        progress.defeated_npcs.append(npc.id)
    if npc == club.leader and club.id == progress.current_club:
        _leave(progress, club)


def _leave(progress: CampaignProgress, club: Club) -> None:
    if club.medal not in progress.medals:
        progress.medals.append(club.medal)
        progress.booster_packs = _more(progress.booster_packs, PACKS_FOR_A_MEDAL)
    progress.current_club = PLACES[PLACES.index(club.id) + 1]


def _opponent(progress: CampaignProgress, npc_id: str) -> tuple[Club, Npc]:
    place = _place(progress)
    found = find_npc(npc_id)
    if found is None:
        here = CLUBS[min(place, len(CLUBS) - 1)]
        names = ", ".join(npc.id for npc in here.everybody)
        raise NotFoundError(
            f"there is no opponent {show(npc_id)}; those of {here.name} are {names}"
        )
    club, npc = found
    if CLUBS.index(club) >= place:
        _require_reached(progress, CLUBS[place], club, npc)
    return found


def _require_reached(progress: CampaignProgress, current: Club, club: Club, npc: Npc) -> None:
    if club != current:
        raise NotReachedError(
            f"player {progress.user_id} has not reached {npc.id} of {club.name}; "
            f"{current.leader.id} of {current.name} comes first"
        )
    left = [each.id for each in club.members if each.id not in progress.defeated_npcs]
    if npc == club.leader and left:
        raise NotReachedError(
            f"player {progress.user_id} may not challenge {npc.id} yet; "
            f"first beat {', '.join(left)} of {club.name}"
        )


def _place(progress: CampaignProgress) -> int:
    if progress.current_club not in PLACES:
        raise NotFoundError(
            f"player {progress.user_id} is in club {show(progress.current_club)}, which does not "
            f"exist; set current_club to one of {', '.join(PLACES)}"
        )
    return PLACES.index(progress.current_club)


def _more(count: int, by: int) -> int:
    return min(count + by, LARGEST_STORED)


def _require(user_id: uuid.UUID, found: CampaignProgress | None) -> CampaignProgress:
    if found is None:
        raise NotFoundError(f"player {user_id} has no campaign; a starter begins one")
    return found


def _of(user_id: uuid.UUID) -> Select[CampaignProgress]:
    found = select(CampaignProgress).where(CampaignProgress.user_id == user_id)
    # As it is stored, not as the session has seen it before.
    return found.execution_options(populate_existing=True)
