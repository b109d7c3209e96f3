"""Asking models by hand: what a question means to each model, asking one after the other, keeping models loaded between questions."""
