-- An operator ends a connection whose stack cannot.

ALTER TABLE connections ADD COLUMN ended_at INTEGER;
