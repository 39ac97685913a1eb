"""All of it in one run, and the page that shows it."""
