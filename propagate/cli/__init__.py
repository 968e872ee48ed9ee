"""The command line: reads options, calls a job, shows what comes out. The only room that prints."""
