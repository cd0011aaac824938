"""One file per tab of the web app."""
