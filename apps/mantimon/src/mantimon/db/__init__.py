"""Where the game keeps its data: PostgreSQL for what must last, Redis for what must be fast."""
