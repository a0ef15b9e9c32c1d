"""The command line: `app.main` runs ``bertvectorizer``; one module for each command."""
