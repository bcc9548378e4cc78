"""DC-SFL training: parties, the split loop, methods, data, reports and the `dcsfl-train` command."""
