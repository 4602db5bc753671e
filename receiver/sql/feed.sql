-- By which history of the database its rows are written, for the table `feed_head` whose oid is `place`: another
-- cluster (a dump that was restored), another table (restored beside the old one) or another timeline (a standby
-- that was promoted, a restore to a moment) is another history. NULL where the server does not tell.
CREATE FUNCTION postback.lineage(place oid) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- the log's position names its timeline from the first write on; the control file only from the first checkpoint
    RETURN concat_ws('-', (SELECT s.system_identifier FROM pg_control_system() s), place,
                     left(pg_walfile_name(pg_current_wal_insert_lsn()), 8));
EXCEPTION WHEN OTHERS THEN
    RETURN NULL; -- a standby, or a service that keeps these functions to itself
END $$;

-- The first number that is taken in another history: what the one before gave out last may be lost here, and
-- somebody may have read it. So the numbers go on so far above that none is given twice.
CREATE FUNCTION postback.skip_numbers() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    -- more events than any standby is behind; below 2^53, as far as JavaScript counts, there is room for nine million
    gap CONSTANT bigint := 1000000000;
BEGIN
    INSERT INTO postback.feed_gap (until, after, lineage, at)
    VALUES (OLD.seq + gap, OLD.seq, OLD.lineage, clock_timestamp());
    NEW.seq := NEW.seq + gap;
    NEW.lineage := postback.lineage(OLD.tableoid);
    RETURN NEW;
END $$;

-- On the table, so that it holds for everybody who takes numbers, also for functions of an earlier release.
CREATE OR REPLACE TRIGGER skip_numbers BEFORE UPDATE OF seq ON postback.feed_head FOR EACH ROW
WHEN (OLD.lineage <> postback.lineage(OLD.tableoid))
EXECUTE FUNCTION postback.skip_numbers();

-- The history in which the feed began to keep account of it.
UPDATE postback.feed_head SET lineage = postback.lineage(tableoid) WHERE lineage IS NULL;
