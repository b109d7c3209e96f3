"""Results as files to take away: one HTML file that works offline, or a folder of them; and the words that pages share with them."""
