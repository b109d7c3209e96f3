"""A model made from one's own facts, step by step."""
