-- Times are Unix nanoseconds, and what is true is 1. A notice's place in the order of its stack's notices is its time, then its kind.
-- The same tables, with the same columns, are in postgres/.

CREATE TABLE launches (
    sequence              INTEGER PRIMARY KEY AUTOINCREMENT,
    launch_id             TEXT NOT NULL UNIQUE,
    token                 TEXT NOT NULL,          -- sealed: the key of an HMAC is needed in clear
    external_id           TEXT NOT NULL UNIQUE,
    customer_id           TEXT NOT NULL,
    account_id            TEXT,                   -- the only account that may use it, when known
    ways                  TEXT NOT NULL,          -- as JSON
    handler_role_name     TEXT,                   -- the one other name, where there is one
    expires_at            INTEGER NOT NULL,
    revoked_at            INTEGER,
    replaced              INTEGER NOT NULL DEFAULT 0, -- a stack of it has gone over to a newer one
    for_organization      INTEGER NOT NULL,
    organization_id       TEXT,
    management_account_id TEXT
) STRICT;
CREATE INDEX launches_of_customers ON launches (customer_id, sequence);

-- Which stack a launch is bound to: one, or one in each account of an organization.
CREATE TABLE launch_uses (
    launch_id  TEXT NOT NULL REFERENCES launches (launch_id),
    account_id TEXT NOT NULL,
    stack_id   TEXT NOT NULL,
    until      INTEGER,                    -- null: for as long as nothing takes its place
    reserved   INTEGER NOT NULL DEFAULT 0, -- only until AWS has judged the role that asked to speak with it
    PRIMARY KEY (launch_id, account_id)
) STRICT;
CREATE INDEX launch_uses_by_stack ON launch_uses (stack_id);

CREATE TABLE connections (
    sequence                INTEGER PRIMARY KEY AUTOINCREMENT,
    connection_id           TEXT NOT NULL UNIQUE,
    stack_id                TEXT NOT NULL UNIQUE,
    customer_id             TEXT NOT NULL,
    way                     TEXT NOT NULL,
    launch_id               TEXT NOT NULL REFERENCES launches (launch_id),
    account_id              TEXT NOT NULL,
    connection_name         TEXT NOT NULL,
    speaker_id              TEXT NOT NULL,    -- unique id of the role or user; `verified_arn` is its ARN
    verified_arn            TEXT NOT NULL,
    bearer                  TEXT,             -- whom a token vouched for, as JSON
    earlier                 TEXT,             -- the speaker before, as JSON
    candidate               TEXT,             -- one that AWS has not confirmed, as JSON
    candidate_launch_id     TEXT,             -- the launch with which that one asks to speak
    confirmed_at            INTEGER,
    external_id_in_use      TEXT,             -- which of the external IDs that we issued the role had when AWS confirmed it last
    unconfirmed             INTEGER NOT NULL,
    removed_at              INTEGER,
    ended_at                INTEGER,          -- when an operator ended it, because its stack cannot
    since                   INTEGER NOT NULL,
    described_time          INTEGER NOT NULL,
    described_kind          TEXT NOT NULL,
    described_id            TEXT NOT NULL,
    latest_time             INTEGER NOT NULL,
    latest_kind             TEXT NOT NULL,
    latest_id               TEXT NOT NULL,
    data                    TEXT NOT NULL,    -- the description as JSON, without the proof
    organization_before     TEXT,             -- the last change of the account's place in its organization, as JSON
    organization_changed_at INTEGER,
    alive_at                INTEGER,          -- when its stack was last heard
    made_at                 INTEGER NOT NULL, -- when it came in, by our clock
    replaced_by             TEXT,             -- the connection that took over
    contested_with          TEXT,             -- the same, and this one's stack spoke since
    label                   TEXT,             -- the operator's own name for it
    paused_at               INTEGER,          -- when the operator paused it
    role_test               TEXT,             -- the last one, as JSON
    available_at            INTEGER,          -- when the role could last be used
    state                   TEXT NOT NULL,    -- as it was derived last: for lists, and to notice its changes
    billing_state           TEXT              -- the same of its billing data, where there is any to arrive
) STRICT;
CREATE INDEX connections_by_name ON connections (customer_id, account_id, connection_name);
CREATE INDEX connections_of_customers ON connections (customer_id, sequence);
CREATE INDEX connections_of_accounts ON connections (account_id, sequence);
CREATE INDEX connections_by_state ON connections (state, sequence);
CREATE INDEX connections_unconfirmed ON connections (launch_id, made_at) WHERE unconfirmed = 1;
CREATE INDEX connections_by_candidate ON connections (candidate_launch_id) WHERE candidate_launch_id IS NOT NULL;
CREATE INDEX connections_contested ON connections (contested_with) WHERE contested_with IS NOT NULL;
CREATE INDEX connections_replaced ON connections (replaced_by) WHERE replaced_by IS NOT NULL;
CREATE INDEX connections_removed ON connections (removed_at) WHERE removed_at IS NOT NULL;

-- Notices are remembered to recognize repetitions and removals; what they described is in `connections`.
CREATE TABLE notices (
    sequence      INTEGER PRIMARY KEY AUTOINCREMENT,
    stack_id      TEXT NOT NULL,
    notice_id     TEXT NOT NULL,    -- its stack's own: another customer's cannot use it up
    time          INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    launch_id     TEXT NOT NULL REFERENCES launches (launch_id),
    fingerprint   TEXT NOT NULL,
    verified_arn  TEXT NOT NULL,
    resource      TEXT NOT NULL,    -- the physical id of the resource that spoke
    received_at   INTEGER NOT NULL,
    connection_id TEXT,             -- null: a removal of a connection that was not known
    message       TEXT NOT NULL,
    token_id      TEXT UNIQUE,      -- each is good for one notice
    UNIQUE (stack_id, notice_id)
) STRICT;
CREATE INDEX notices_by_stack ON notices (stack_id, kind, time);
CREATE INDEX removals_of_unknown ON notices (launch_id) WHERE connection_id IS NULL;

-- The newest billing status of each connection, by the stack's own time.
CREATE TABLE billing_statuses (
    stack_id TEXT PRIMARY KEY REFERENCES connections (stack_id),
    heard_at INTEGER NOT NULL, -- when the last one came in, whether or not it is this one
    status   TEXT NOT NULL     -- as JSON
) STRICT;

-- Which issuer is an account's, once a request or AWS itself has vouched for the account beside it.
CREATE TABLE issuers (
    account_id TEXT PRIMARY KEY,
    issuer     TEXT NOT NULL UNIQUE,
    keys       TEXT,   -- its key set as it was served; null: not fetched since
    fetched_at INTEGER -- when this set was first seen
) STRICT;

-- What is to be done, committed with the change that it follows from. One of a kind for a subject: a second request moves the first.
CREATE TABLE jobs (
    job_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL,              -- a connection's id
    run_at     INTEGER NOT NULL,           -- for one that a worker has taken: when another may take it
    attempts   INTEGER NOT NULL DEFAULT 0, -- of those that ended
    version    INTEGER NOT NULL DEFAULT 0, -- changes with each request and each claim: only who has it by this number may end it
    claims     INTEGER NOT NULL DEFAULT 0, -- how often it was taken since, and not ended
    dead_at    INTEGER,                    -- when it had been taken too often; a new request brings it back
    UNIQUE (kind, subject)
) STRICT;
CREATE INDEX jobs_by_time ON jobs (run_at) WHERE dead_at IS NULL;

-- What is wrong with a connection, and was. Of one code and subject, one is open at a time.
CREATE TABLE problems (
    problem_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    connection_id TEXT NOT NULL,
    customer_id   TEXT NOT NULL,
    source        TEXT NOT NULL,    -- what looks for problems of this kind, and closes them
    code          TEXT NOT NULL,
    subject       TEXT NOT NULL,    -- what it is about, where a code can be there more than once
    problem       TEXT NOT NULL,    -- as JSON
    opened_at     INTEGER NOT NULL,
    closed_at     INTEGER
) STRICT;
CREATE UNIQUE INDEX problems_open ON problems (connection_id, code, subject) WHERE closed_at IS NULL;
CREATE INDEX problems_in_order ON problems (problem_id) WHERE closed_at IS NULL;
CREATE INDEX problems_of_customers ON problems (customer_id, problem_id) WHERE closed_at IS NULL;

-- What happened to connections, in the order in which it was stored.
CREATE TABLE events (
    sequence      INTEGER PRIMARY KEY AUTOINCREMENT,
    connection_id TEXT NOT NULL,    -- empty: of a launch or a token, which `data` names
    customer_id   TEXT NOT NULL,    -- empty: of no customer
    at            INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    actor         TEXT NOT NULL,    -- `console`, `operator` or `token:` and a token's id
    data          TEXT NOT NULL     -- as JSON
) STRICT;
CREATE INDEX events_by_connection ON events (connection_id, sequence);

-- Where events are posted to.
CREATE TABLE webhook_endpoints (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint_id TEXT NOT NULL UNIQUE,
    customer_id TEXT,             -- the only one whose events it takes; null: all
    url         TEXT NOT NULL,    -- sealed: those of many receivers hold a token
    filter      TEXT NOT NULL,    -- as JSON
    secrets     TEXT NOT NULL,    -- sealed, as JSON
    health      TEXT NOT NULL     -- as JSON
) STRICT;

-- One event for one endpoint.
CREATE TABLE webhook_deliveries (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery_id TEXT NOT NULL UNIQUE,
    endpoint_id TEXT NOT NULL,
    event       TEXT NOT NULL,    -- as JSON, with the bytes that are sent
    attempts    INTEGER NOT NULL DEFAULT 0,
    made_at     INTEGER NOT NULL,
    ended_at    INTEGER,
    result      TEXT              -- `delivered`, `exhausted` or `stopped`, once it has ended
) STRICT;
CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (endpoint_id);
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (made_at);

CREATE TABLE webhook_attempts (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint_id TEXT NOT NULL,
    at          INTEGER NOT NULL,
    attempt     TEXT NOT NULL     -- as JSON
) STRICT;
CREATE INDEX webhook_attempts_by_endpoint ON webhook_attempts (endpoint_id, sequence);
CREATE INDEX webhook_attempts_by_time ON webhook_attempts (at);

-- A text that the operator's key sealed: whether that is the key which the others were sealed with.
CREATE TABLE seals (
    name   TEXT PRIMARY KEY,
    sealed TEXT NOT NULL
) STRICT;

-- Bearer tokens of the API. Of the token itself there is only a hash.
CREATE TABLE api_tokens (
    sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
    token_id     TEXT NOT NULL UNIQUE,
    token_sha256 TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    scopes       TEXT NOT NULL, -- as JSON
    customer_id  TEXT,          -- null: all customers
    made_at      INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_used_at INTEGER,       -- to the minute
    revoked_at   INTEGER
) STRICT;

-- First answers to requests with an `Idempotency-Key`, for as long as they may be repeated.
CREATE TABLE idempotency_keys (
    key_id         TEXT PRIMARY KEY, -- a hash of who asked, for what, with which key
    actor          TEXT NOT NULL,
    request_sha256 TEXT NOT NULL,
    answer         TEXT NOT NULL,    -- sealed: it may hold a token
    made_at        INTEGER NOT NULL
) STRICT;
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (made_at);
CREATE INDEX idempotency_keys_of_actors ON idempotency_keys (actor);
