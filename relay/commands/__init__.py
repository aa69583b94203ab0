"""The commands of presend, a module each.

A command's module has `add_arguments(parser)`, which describes its arguments, and `main(args)`,
which loads the settings of the command, does its work and returns the exit code. The table
`COMMANDS` in relay/cli.py lists the commands; a module is imported only when its command is called.
"""
