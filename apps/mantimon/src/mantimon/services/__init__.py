"""What the game does with its data: one module for each thing that a player can do."""
