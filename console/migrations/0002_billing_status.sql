-- The newest billing status of each connection, by the stack's own time.

CREATE TABLE billing_statuses (
    stack_id TEXT PRIMARY KEY REFERENCES connections (stack_id),
    heard_at INTEGER NOT NULL, -- when the last one came in, whether or not it is this one
    status   TEXT NOT NULL     -- as JSON
) STRICT;
