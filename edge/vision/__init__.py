"""What is to be seen: faces are found, followed, aligned and read."""
