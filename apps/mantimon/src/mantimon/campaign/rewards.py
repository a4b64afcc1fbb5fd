"""What a new player begins with, what a game won brings, and what a booster pack costs."""

from typing import Final

# A starter makes one deck. Three packs are thirty cards: enough to change it from the first day.
NEW_PLAYER_PACKS: Final = 3
# The price of one pack: whoever begins sees what mantibucks are for.
NEW_PLAYER_MANTIBUCKS: Final = 100
PACK_PRICE: Final = 100
# Four games won are a pack, also against somebody who was beaten before: nobody is stuck.
MANTIBUCKS_FOR_A_WIN: Final = 25
PACKS_FOR_A_MEDAL: Final = 2
