"""The lesson: its frame and presenter mode, guesses, and a file for each step."""
