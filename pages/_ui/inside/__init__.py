"""Pieces of the page Inside: what is picked and read, how a look is started, and a chapter for each measure."""
