"""The parts of the page on real models whose results come with the program."""
