-- Notices are remembered to recognize repetitions and removals; what they described is in `connections`.

ALTER TABLE notices ADD COLUMN resource TEXT NOT NULL DEFAULT ''; -- the physical id of the resource that spoke
UPDATE notices SET resource = json_extract(data, '$.resource');
ALTER TABLE notices DROP COLUMN data;
