"""The commands beside `serve`: each reads its arguments, does its work, returns an exit code."""
