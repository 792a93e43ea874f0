-- Which of the external IDs that we issued the role had when AWS confirmed the connection last.

ALTER TABLE connections ADD COLUMN external_id_in_use TEXT;
