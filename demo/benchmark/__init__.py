"""How fast photos, films and the page's start are, measured as a user meets them."""
