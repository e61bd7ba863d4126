"""One candidate for other programs: files, checks, a card."""
