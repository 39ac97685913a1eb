"""Frames in: pictures, recordings and live cameras, each frame with its time."""
