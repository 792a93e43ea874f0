-- Times are Unix nanoseconds, and what is true is 1. A notice's place in the order of its stack's notices is its time, then its kind.
-- The same tables, with the same columns, are in sqlite/.

CREATE TABLE launches (
    sequence              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    launch_id             TEXT COLLATE "C" NOT NULL UNIQUE,
    token                 TEXT COLLATE "C" NOT NULL,          -- sealed: the key of an HMAC is needed in clear
    external_id           TEXT COLLATE "C" NOT NULL UNIQUE,
    customer_id           TEXT COLLATE "C" NOT NULL,
    account_id            TEXT COLLATE "C",                   -- the only account that may use it, when known
    ways                  TEXT COLLATE "C" NOT NULL,          -- as JSON
    handler_role_name     TEXT COLLATE "C",                   -- the one other name, where there is one
    expires_at            BIGINT NOT NULL,
    revoked_at            BIGINT,
    replaced              BIGINT NOT NULL DEFAULT 0, -- a stack of it has gone over to a newer one
    for_organization      BIGINT NOT NULL,
    organization_id       TEXT COLLATE "C",
    management_account_id TEXT COLLATE "C"
);
CREATE INDEX launches_of_customers ON launches (customer_id, sequence);

-- Which stack a launch is bound to: one, or one in each account of an organization.
CREATE TABLE launch_uses (
    launch_id  TEXT COLLATE "C" NOT NULL REFERENCES launches (launch_id),
    account_id TEXT COLLATE "C" NOT NULL,
    stack_id   TEXT COLLATE "C" NOT NULL,
    until      BIGINT,                    -- null: for as long as nothing takes its place
    reserved   BIGINT NOT NULL DEFAULT 0, -- only until AWS has judged the role that asked to speak with it
    PRIMARY KEY (launch_id, account_id)
);
CREATE INDEX launch_uses_by_stack ON launch_uses (stack_id);

CREATE TABLE connections (
    sequence                BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_id           TEXT COLLATE "C" NOT NULL UNIQUE,
    stack_id                TEXT COLLATE "C" NOT NULL UNIQUE,
    customer_id             TEXT COLLATE "C" NOT NULL,
    way                     TEXT COLLATE "C" NOT NULL,
    launch_id               TEXT COLLATE "C" NOT NULL REFERENCES launches (launch_id),
    account_id              TEXT COLLATE "C" NOT NULL,
    connection_name         TEXT COLLATE "C" NOT NULL,
    speaker_id              TEXT COLLATE "C" NOT NULL,    -- unique id of the role or user; `verified_arn` is its ARN
    verified_arn            TEXT COLLATE "C" NOT NULL,
    bearer                  TEXT COLLATE "C",             -- whom a token vouched for, as JSON
    earlier                 TEXT COLLATE "C",             -- the speaker before, as JSON
    candidate               TEXT COLLATE "C",             -- one that AWS has not confirmed, as JSON
    candidate_launch_id     TEXT COLLATE "C",             -- the launch with which that one asks to speak
    confirmed_at            BIGINT,
    external_id_in_use      TEXT COLLATE "C",             -- which of the external IDs that we issued the role had when AWS confirmed it last
    unconfirmed             BIGINT NOT NULL,
    removed_at              BIGINT,
    ended_at                BIGINT,          -- when an operator ended it, because its stack cannot
    since                   BIGINT NOT NULL,
    described_time          BIGINT NOT NULL,
    described_kind          TEXT COLLATE "C" NOT NULL,
    described_id            TEXT COLLATE "C" NOT NULL,
    latest_time             BIGINT NOT NULL,
    latest_kind             TEXT COLLATE "C" NOT NULL,
    latest_id               TEXT COLLATE "C" NOT NULL,
    data                    TEXT COLLATE "C" NOT NULL,    -- the description as JSON, without the proof
    organization_before     TEXT COLLATE "C",             -- the last change of the account's place in its organization, as JSON
    organization_changed_at BIGINT,
    alive_at                BIGINT,          -- when its stack was last heard
    made_at                 BIGINT NOT NULL, -- when it came in, by our clock
    replaced_by             TEXT COLLATE "C",             -- the connection that took over
    contested_with          TEXT COLLATE "C",             -- the same, and this one's stack spoke since
    label                   TEXT COLLATE "C",             -- the operator's own name for it
    paused_at               BIGINT,          -- when the operator paused it
    role_test               TEXT COLLATE "C",             -- the last one, as JSON
    available_at            BIGINT,          -- when the role could last be used
    state                   TEXT COLLATE "C" NOT NULL,    -- as it was derived last: for lists, and to notice its changes
    billing_state           TEXT COLLATE "C"              -- the same of its billing data, where there is any to arrive
);
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
    sequence      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stack_id      TEXT COLLATE "C" NOT NULL,
    notice_id     TEXT COLLATE "C" NOT NULL,    -- its stack's own: another customer's cannot use it up
    time          BIGINT NOT NULL,
    kind          TEXT COLLATE "C" NOT NULL,
    launch_id     TEXT COLLATE "C" NOT NULL REFERENCES launches (launch_id),
    fingerprint   TEXT COLLATE "C" NOT NULL,
    verified_arn  TEXT COLLATE "C" NOT NULL,
    resource      TEXT COLLATE "C" NOT NULL,    -- the physical id of the resource that spoke
    received_at   BIGINT NOT NULL,
    connection_id TEXT COLLATE "C",             -- null: a removal of a connection that was not known
    message       TEXT COLLATE "C" NOT NULL,
    token_id      TEXT COLLATE "C" UNIQUE,      -- each is good for one notice
    UNIQUE (stack_id, notice_id)
);
CREATE INDEX notices_by_stack ON notices (stack_id, kind, time);
CREATE INDEX removals_of_unknown ON notices (launch_id) WHERE connection_id IS NULL;

-- The newest billing status of each connection, by the stack's own time.
CREATE TABLE billing_statuses (
    stack_id TEXT COLLATE "C" PRIMARY KEY REFERENCES connections (stack_id),
    heard_at BIGINT NOT NULL, -- when the last one came in, whether or not it is this one
    status   TEXT COLLATE "C" NOT NULL     -- as JSON
);

-- Which issuer is an account's, once a request or AWS itself has vouched for the account beside it.
CREATE TABLE issuers (
    account_id TEXT COLLATE "C" PRIMARY KEY,
    issuer     TEXT COLLATE "C" NOT NULL UNIQUE,
    keys       TEXT COLLATE "C",   -- its key set as it was served; null: not fetched since
    fetched_at BIGINT -- when this set was first seen
);

-- What is to be done, committed with the change that it follows from. One of a kind for a subject: a second request moves the first.
CREATE TABLE jobs (
    job_id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,              -- a connection's id
    run_at     BIGINT NOT NULL,           -- for one that a worker has taken: when another may take it
    attempts   BIGINT NOT NULL DEFAULT 0, -- of those that ended
    version    BIGINT NOT NULL DEFAULT 0, -- changes with each request and each claim: only who has it by this number may end it
    claims     BIGINT NOT NULL DEFAULT 0, -- how often it was taken since, and not ended
    dead_at    BIGINT,                    -- when it had been taken too often; a new request brings it back
    UNIQUE (kind, subject)
);
CREATE INDEX jobs_by_time ON jobs (run_at) WHERE dead_at IS NULL;

-- What is wrong with a connection, and was. Of one code and subject, one is open at a time.
CREATE TABLE problems (
    problem_id    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_id TEXT COLLATE "C" NOT NULL,
    customer_id   TEXT COLLATE "C" NOT NULL,
    source        TEXT COLLATE "C" NOT NULL,    -- what looks for problems of this kind, and closes them
    code          TEXT COLLATE "C" NOT NULL,
    subject       TEXT COLLATE "C" NOT NULL,    -- what it is about, where a code can be there more than once
    problem       TEXT COLLATE "C" NOT NULL,    -- as JSON
    opened_at     BIGINT NOT NULL,
    closed_at     BIGINT
);
CREATE UNIQUE INDEX problems_open ON problems (connection_id, code, subject) WHERE closed_at IS NULL;
CREATE INDEX problems_in_order ON problems (problem_id) WHERE closed_at IS NULL;
CREATE INDEX problems_of_customers ON problems (customer_id, problem_id) WHERE closed_at IS NULL;

-- What happened to connections, in the order in which it was stored.
CREATE TABLE events (
    sequence      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_id TEXT COLLATE "C" NOT NULL,    -- empty: of a launch or a token, which `data` names
    customer_id   TEXT COLLATE "C" NOT NULL,    -- empty: of no customer
    at            BIGINT NOT NULL,
    kind          TEXT COLLATE "C" NOT NULL,
    actor         TEXT COLLATE "C" NOT NULL,    -- `console`, `operator` or `token:` and a token's id
    data          TEXT COLLATE "C" NOT NULL     -- as JSON
);
CREATE INDEX events_by_connection ON events (connection_id, sequence);

-- Where events are posted to.
CREATE TABLE webhook_endpoints (
    sequence    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id TEXT COLLATE "C" NOT NULL UNIQUE,
    customer_id TEXT COLLATE "C",             -- the only one whose events it takes; null: all
    url         TEXT COLLATE "C" NOT NULL,    -- sealed: those of many receivers hold a token
    filter      TEXT COLLATE "C" NOT NULL,    -- as JSON
    secrets     TEXT COLLATE "C" NOT NULL,    -- sealed, as JSON
    health      TEXT COLLATE "C" NOT NULL     -- as JSON
);

-- One event for one endpoint.
CREATE TABLE webhook_deliveries (
    sequence    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id TEXT COLLATE "C" NOT NULL UNIQUE,
    endpoint_id TEXT COLLATE "C" NOT NULL,
    event       TEXT COLLATE "C" NOT NULL,    -- as JSON, with the bytes that are sent
    attempts    BIGINT NOT NULL DEFAULT 0,
    made_at     BIGINT NOT NULL,
    ended_at    BIGINT,
    result      TEXT COLLATE "C"              -- `delivered`, `exhausted` or `stopped`, once it has ended
);
CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (endpoint_id);
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (made_at);

CREATE TABLE webhook_attempts (
    sequence    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id TEXT COLLATE "C" NOT NULL,
    at          BIGINT NOT NULL,
    attempt     TEXT COLLATE "C" NOT NULL     -- as JSON
);
CREATE INDEX webhook_attempts_by_endpoint ON webhook_attempts (endpoint_id, sequence);
CREATE INDEX webhook_attempts_by_time ON webhook_attempts (at);

-- A text that the operator's key sealed: whether that is the key which the others were sealed with.
CREATE TABLE seals (
    name   TEXT COLLATE "C" PRIMARY KEY,
    sealed TEXT COLLATE "C" NOT NULL
);

-- Bearer tokens of the API. Of the token itself there is only a hash.
CREATE TABLE api_tokens (
    sequence     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_id     TEXT COLLATE "C" NOT NULL UNIQUE,
    token_sha256 TEXT COLLATE "C" NOT NULL UNIQUE,
    name         TEXT COLLATE "C" NOT NULL,
    scopes       TEXT COLLATE "C" NOT NULL, -- as JSON
    customer_id  TEXT COLLATE "C",          -- null: all customers
    made_at      BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT,       -- to the minute
    revoked_at   BIGINT
);

-- First answers to requests with an `Idempotency-Key`, for as long as they may be repeated.
CREATE TABLE idempotency_keys (
    key_id         TEXT COLLATE "C" PRIMARY KEY, -- a hash of who asked, for what, with which key
    actor          TEXT COLLATE "C" NOT NULL,
    request_sha256 TEXT COLLATE "C" NOT NULL,
    answer         TEXT COLLATE "C" NOT NULL,    -- sealed: it may hold a token
    made_at        BIGINT NOT NULL
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (made_at);
CREATE INDEX idempotency_keys_of_actors ON idempotency_keys (actor);
