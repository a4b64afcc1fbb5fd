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
