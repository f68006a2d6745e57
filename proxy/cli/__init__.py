"""The command `segue`: `main`, and a module for each command.

In a command's module `add` puts its part of the command line into place, and `run` carries it out
and returns the exit code (0 success, 1 something is wrong, 2 a command line that cannot be
understood). What several of them need: `configuration` (which files and settings count), `admin`
(asking a running Segue), `terminal` (colours, and text that is safe to print), `comparison` (which
fields of two messages differ), `written` (settings as people write them), `answer` (what `explain`
found out, told).
"""
