"""Plug-ins, methods and tasks alike: files that are found and read without being run."""
