-- Since when a login cannot be renewed, and why; none while it can, or may. And when its renewal was
-- asked for whose answer is not kept yet: one that stays is of a server that ended meanwhile.

ALTER TABLE credentials ADD COLUMN expired_at INTEGER;
ALTER TABLE credentials ADD COLUMN expired_reason TEXT;
ALTER TABLE credentials ADD COLUMN renewing_since INTEGER;
