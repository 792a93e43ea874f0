-- Launches for an organization: one token, and in each of its accounts one stack at a time. `launches.stack_id` stays for all others.

ALTER TABLE launches ADD COLUMN for_organization INTEGER NOT NULL DEFAULT 0;
ALTER TABLE launches ADD COLUMN organization_id TEXT;       -- null: not known before the first stack
ALTER TABLE launches ADD COLUMN management_account_id TEXT; -- the same

CREATE TABLE launch_uses (
    launch_id  TEXT NOT NULL REFERENCES launches (launch_id),
    account_id TEXT NOT NULL,
    stack_id   TEXT NOT NULL,
    PRIMARY KEY (launch_id, account_id)
) STRICT;
CREATE INDEX launch_uses_by_stack ON launch_uses (stack_id);
