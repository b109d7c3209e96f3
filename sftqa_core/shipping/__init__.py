"""How `cache/shipped` is made: the models of the built-in world and their results, and what was measured of real models."""
