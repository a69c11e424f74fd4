"""The command line: verb to function; parses, calls, prints."""
