-- A word that changes whenever a write-ahead log is begun, by which a log is told that belongs to
-- another file. One row.

CREATE TABLE opening (id TEXT NOT NULL) STRICT;
INSERT INTO opening VALUES (lower(hex(randomblob(16))));
