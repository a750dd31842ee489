-- What a turn was asked, where it is more than a text. The bytes of images and files are in the
-- session's folder.

ALTER TABLE turns ADD COLUMN blocks TEXT;
