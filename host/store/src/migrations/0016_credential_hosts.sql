-- The hosts that a credential is for, as a JSON list: it is put into requests to them, and does not
-- enter the sandbox. None: it is a variable in the sandbox.

ALTER TABLE credentials ADD COLUMN hosts TEXT NOT NULL DEFAULT '[]';
