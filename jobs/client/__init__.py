"""The asking half: submit, wait, follow, list, cancel, erase."""
