"""One command's work from request to run; nothing is printed here."""
