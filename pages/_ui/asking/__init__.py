"""Questions to models, side by side: the form, what was asked, replies."""
