-- What was answered under an idempotency key is kept in the services' own form and no longer as a
-- reply of HTTP. What is kept in the old form is forgotten: it is good for a day at most.

DELETE FROM idempotency;
ALTER TABLE idempotency DROP COLUMN status;
ALTER TABLE idempotency RENAME COLUMN response TO answer;
