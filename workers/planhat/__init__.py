"""The destination: `wire` (pure), `client` (I/O), `sandbox` (the double that shares no code with them)."""
