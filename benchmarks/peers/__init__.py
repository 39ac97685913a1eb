"""How others fare on the same frames, each in a process of its own."""
