-- Times are Unix nanoseconds. A notice's place in the order of its stack's notices is its time, then its kind.

CREATE TABLE launches (
    launch_id   TEXT PRIMARY KEY,
    token       TEXT NOT NULL UNIQUE, -- the key of an HMAC: needed in clear
    external_id TEXT NOT NULL UNIQUE,
    account_id  TEXT,                 -- the only account that may use it, when known
    expires_at  INTEGER NOT NULL,
    stack_id    TEXT                  -- the one stack that it has connected
) STRICT;
CREATE INDEX launches_by_stack ON launches (stack_id);

CREATE TABLE connections (
    sequence        INTEGER PRIMARY KEY AUTOINCREMENT,
    connection_id   TEXT NOT NULL UNIQUE,
    stack_id        TEXT NOT NULL UNIQUE,
    launch_id       TEXT NOT NULL REFERENCES launches (launch_id),
    account_id      TEXT NOT NULL,
    connection_name TEXT NOT NULL,
    verified_arn    TEXT NOT NULL,
    since           INTEGER NOT NULL,
    described_time  INTEGER NOT NULL,
    described_kind  TEXT NOT NULL,
    described_id    TEXT NOT NULL,
    latest_time     INTEGER NOT NULL,
    latest_kind     TEXT NOT NULL,
    latest_id       TEXT NOT NULL,
    data            TEXT NOT NULL     -- the description as JSON, without the proof
) STRICT;
CREATE INDEX connections_by_name ON connections (account_id, connection_name, since);

CREATE TABLE notices (
    notice_id     TEXT PRIMARY KEY,
    stack_id      TEXT NOT NULL,
    time          INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    launch_id     TEXT NOT NULL REFERENCES launches (launch_id),
    fingerprint   TEXT NOT NULL,
    verified_arn  TEXT NOT NULL,
    data          TEXT NOT NULL, -- as JSON, without the proof
    received_at   INTEGER NOT NULL,
    connection_id TEXT,          -- null: a removal of a connection that was not known
    message       TEXT NOT NULL
) STRICT;
CREATE INDEX notices_by_stack ON notices (stack_id, kind, time);
