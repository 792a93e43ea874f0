-- Proofs by token.

ALTER TABLE connections ADD COLUMN bearer TEXT; -- whom a token vouched for, as JSON
ALTER TABLE notices ADD COLUMN token_id TEXT;   -- each is good for one notice
CREATE UNIQUE INDEX notices_by_token ON notices (token_id) WHERE token_id IS NOT NULL;

-- Which issuer is an account's, once a request or AWS itself has vouched for the account beside it.
CREATE TABLE issuers (
    account_id TEXT PRIMARY KEY,
    issuer     TEXT NOT NULL UNIQUE,
    keys       TEXT,   -- its key set as it was served; null: not fetched since
    fetched_at INTEGER -- when this set was first seen
) STRICT;
