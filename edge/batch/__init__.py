"""A study: many recordings and pictures, a table for each, resumable, with a proof of what was read."""
