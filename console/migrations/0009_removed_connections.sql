-- What is kept of a removed connection's notices has an end.

CREATE INDEX connections_removed ON connections (removed_at) WHERE removed_at IS NOT NULL;
