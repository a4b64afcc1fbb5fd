"""The game itself: its state, what may be done in it, and a player that is no person."""
