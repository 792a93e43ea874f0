-- The last change of an account's place in its organization.

ALTER TABLE connections ADD COLUMN organization_before TEXT;     -- as JSON
ALTER TABLE connections ADD COLUMN organization_changed_at INTEGER;
