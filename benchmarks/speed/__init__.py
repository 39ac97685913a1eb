"""How fast, how steady and at what cost: latency, its ceiling, energy, and the machine itself."""
