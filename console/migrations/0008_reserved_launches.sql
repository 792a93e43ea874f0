-- A launch with which a role asks to speak is its stack's until AWS has judged that role.

ALTER TABLE launch_uses ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
