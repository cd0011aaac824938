"""Front ends: parse, call the engine, show."""
