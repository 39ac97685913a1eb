"""Streams, people and time: what only a sequence of frames can tell."""
