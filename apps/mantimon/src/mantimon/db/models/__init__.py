"""All models and their enums; importing this fills `Base.metadata`."""

from mantimon.db.base import Base
from mantimon.db.models.campaign import CampaignProgress
from mantimon.db.models.collection import CardSource, Collection
from mantimon.db.models.deck import Deck
from mantimon.db.models.game import ActiveGame, EndReason, GameHistory, GameType
from mantimon.db.models.standing import standings
from mantimon.db.models.user import OAuthProvider, User

__all__ = [
    "ActiveGame",
    "Base",
    "CampaignProgress",
    "CardSource",
    "Collection",
    "Deck",
    "EndReason",
    "GameHistory",
    "GameType",
    "OAuthProvider",
    "User",
    "standings",
]
