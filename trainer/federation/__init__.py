"""The parties as processes on machines of their own: commands, remote parties, and the engine that carries them."""
