"""What each bit costs the demo model, with and without importance matrices, and in sizes to order."""
