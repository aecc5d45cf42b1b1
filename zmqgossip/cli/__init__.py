"""The command line: one file a family of commands, one table of shared options, one place for errors and exit codes."""
