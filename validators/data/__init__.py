"""Data the checks work on, each file with its source and licence."""
