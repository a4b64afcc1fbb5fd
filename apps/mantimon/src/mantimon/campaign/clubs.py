"""The clubs of the campaign in their order, each with its members, its leader and its medal."""

from dataclasses import dataclass
from typing import Final

from mantimon.cards.definition import Element


@dataclass(frozen=True, slots=True, kw_only=True)
class Npc:
    """Somebody to play against who is no player."""

    id: str
    name: str
    element: Element


@dataclass(frozen=True, slots=True, kw_only=True)
class Club:
    """A club: whoever beats its leader gets its medal and goes on to the next."""

    id: str
    name: str
    medal: str
    members: tuple[Npc, ...]
    leader: Npc

    @property
    def everybody(self) -> tuple[Npc, ...]:
        """The members, then the leader."""
        return *self.members, self.leader


def _club(number: int, name: str, medal: str, element: Element, *people: str) -> Club:
    club = f"club_{number}"
    *members, leader = (
        Npc(id=f"{club}_{person.lower()}", name=person, element=element) for person in people
    )
    return Club(id=club, name=name, medal=medal, members=tuple(members), leader=leader)


CLUBS: Final = (
    _club(1, "Emberhall", "cinder", Element.FLAME, "Brann", "Sora", "Ignace"),
    _club(2, "Lowtide Club", "pearl", Element.TIDE, "Maren", "Osk", "Delphine"),
    _club(3, "Mosswood Circle", "acorn", Element.GROVE, "Linnea", "Tam", "Rowan"),
    _club(4, "The Coil", "spark", Element.STORM, "Zeno", "Wren", "Volta"),
    _club(5, "Deepquarry", "geode", Element.STONE, "Garn", "Petra", "Halvard"),
    _club(6, "House of Sleep", "moonstone", Element.DREAM, "Isolde", "Noor", "Morphea"),
    _club(7, "Nightmarket", "obsidian", Element.SHADE, "Corvin", "Lys", "Umbra"),
    _club(8, "Ironworks", "anvil", Element.IRON, "Bessa", "Klaus", "Ferrant"),
)
# Where a player is who has every medal, in place of a club's id.
FINISHED: Final = "finished"
# Where a player can be, in order.
PLACES: Final = (*(club.id for club in CLUBS), FINISHED)


def find_npc(npc_id: str) -> tuple[Club, Npc] | None:
    """Give somebody to play against and the club; None where there is nobody of this id."""
    return next(((c, npc) for c in CLUBS for npc in c.everybody if npc.id == npc_id), None)
