-- Launches belong to customers, and say on which ways they connect. Those from before are a customer's of their own each.

ALTER TABLE launches ADD COLUMN customer_id TEXT NOT NULL DEFAULT '';
UPDATE launches SET customer_id = launch_id;
ALTER TABLE launches ADD COLUMN ways TEXT NOT NULL DEFAULT '["stack"]'; -- as JSON
ALTER TABLE launches ADD COLUMN handler_role_name TEXT;                 -- the one other name, where there is one
ALTER TABLE launches ADD COLUMN revoked_at INTEGER;
ALTER TABLE launches ADD COLUMN replaced INTEGER NOT NULL DEFAULT 0;    -- a stack of it has gone over to a newer one
-- An organization is named now. These match nobody's, so all accounts wait.
UPDATE launches SET organization_id = COALESCE(organization_id, 'o-0000000000'),
    management_account_id = COALESCE(management_account_id, '000000000000') WHERE for_organization;

-- One table says which stack a launch is bound to.
ALTER TABLE launch_uses ADD COLUMN until INTEGER; -- null: for as long as nothing takes its place
INSERT INTO launch_uses (launch_id, account_id, stack_id)
    SELECT l.launch_id, c.account_id, l.stack_id FROM launches l JOIN connections c ON c.stack_id = l.stack_id;
DROP INDEX launches_by_stack;
ALTER TABLE launches DROP COLUMN stack_id;

ALTER TABLE connections ADD COLUMN customer_id TEXT NOT NULL DEFAULT '';
UPDATE connections SET customer_id = launch_id;
ALTER TABLE connections ADD COLUMN way TEXT NOT NULL DEFAULT 'stack';
ALTER TABLE connections ADD COLUMN speaker_id TEXT NOT NULL DEFAULT ''; -- unique id of the role or user; `verified_arn` is its ARN
ALTER TABLE connections ADD COLUMN earlier TEXT;                        -- the one before, as JSON
ALTER TABLE connections ADD COLUMN candidate TEXT;                      -- one that AWS has not confirmed, as JSON
ALTER TABLE connections ADD COLUMN confirmed_at INTEGER;
ALTER TABLE connections ADD COLUMN confirm_at INTEGER;                  -- when AWS is asked next; null: not
ALTER TABLE connections ADD COLUMN confirm_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE connections ADD COLUMN problem TEXT;                        -- why AWS has not confirmed, as JSON
ALTER TABLE connections ADD COLUMN unconfirmed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE connections ADD COLUMN removed_at INTEGER;
ALTER TABLE connections ADD COLUMN alive_at INTEGER;                    -- when its stack was last heard
ALTER TABLE connections ADD COLUMN made_at INTEGER NOT NULL DEFAULT 0;  -- when it came in, by our clock
ALTER TABLE connections ADD COLUMN replaced_by TEXT;                    -- the connection that took over
ALTER TABLE connections ADD COLUMN contested_with TEXT;                 -- the same, and this one's stack spoke since
DROP INDEX connections_by_name;
CREATE INDEX connections_by_name ON connections (customer_id, account_id, connection_name);
CREATE INDEX connections_to_confirm ON connections (confirm_at) WHERE confirm_at IS NOT NULL;
CREATE INDEX connections_unconfirmed ON connections (launch_id) WHERE unconfirmed;

-- A notice's id is its stack's own: another customer's cannot use it up.
CREATE TABLE notices_by_stack_id (
    stack_id      TEXT NOT NULL,
    notice_id     TEXT NOT NULL,
    time          INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    launch_id     TEXT NOT NULL REFERENCES launches (launch_id),
    fingerprint   TEXT NOT NULL,
    verified_arn  TEXT NOT NULL,
    resource      TEXT NOT NULL,
    received_at   INTEGER NOT NULL,
    connection_id TEXT, -- null: a removal of a connection that was not known
    message       TEXT NOT NULL,
    PRIMARY KEY (stack_id, notice_id)
) STRICT;
INSERT INTO notices_by_stack_id SELECT stack_id, notice_id, time, kind, launch_id, fingerprint, verified_arn, resource, received_at,
    connection_id, message FROM notices;
DROP TABLE notices;
ALTER TABLE notices_by_stack_id RENAME TO notices;
CREATE INDEX notices_by_stack ON notices (stack_id, kind, time);
CREATE INDEX removals_of_unknown ON notices (launch_id) WHERE connection_id IS NULL;
