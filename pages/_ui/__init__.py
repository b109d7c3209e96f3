"""What the pages share: cached reads, pickers, forms, panels and wording."""
