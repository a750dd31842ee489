-- What model providers said that a turn used, as JSON. None: nothing was counted.

ALTER TABLE turns ADD COLUMN provider_usage TEXT;
