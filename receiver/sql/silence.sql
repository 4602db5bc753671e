-- Reports that never come.

-- Up to `most` messages whose report is overdue, for the caller to ask about and to settle; another caller
-- gets them only after `lease`. Those that a report has decided meanwhile leave the table here.
CREATE FUNCTION postback.overdue(most integer, lease interval)
RETURNS TABLE (message_id uuid, channel varchar, contact varchar, provider_message_ids varchar[])
LANGUAGE plpgsql SET lock_timeout = '500ms' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    -- a clock that goes on while the query runs could not be looked up in an index
    moment CONSTANT timestamptz := clock_timestamp();
    late uuid[];
BEGIN
    DELETE FROM postback.awaited_report a
    WHERE a.due <= moment
        AND (SELECT m.seen < :unconfirmed_bit FROM postback.message m WHERE m.id = a.message_id) IS NOT TRUE;
    late := ARRAY(
        SELECT x.message_id FROM postback.awaited_report x WHERE x.due <= moment
        ORDER BY x.due LIMIT most FOR UPDATE SKIP LOCKED);
    UPDATE postback.awaited_report a SET due = moment + lease WHERE a.message_id = ANY (late);
    RETURN QUERY
    SELECT m.id, m.channel, m.contact,
        ARRAY(SELECT r.provider_message_id FROM postback.reference r WHERE r.message_id = m.id ORDER BY 1)
    FROM postback.message m WHERE m.id = ANY (late);
END $$;

-- Ends the wait for messages of which nothing was heard: `events` say so, and count only where that is still
-- true. A report that comes later still wins.
CREATE FUNCTION postback.give_up(events postback.event_in[]) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '500ms' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    overdue CONSTANT uuid[] := ARRAY(SELECT e.message_id FROM unnest(events) e);
    silent uuid[];
BEGIN
    SELECT array_agg(id) INTO silent FROM (
        SELECT m.id FROM postback.message m
        WHERE m.id = ANY (overdue) AND m.seen < :unconfirmed_bit
        ORDER BY m.id FOR NO KEY UPDATE
    ) m;
    DELETE FROM postback.awaited_report a WHERE a.message_id = ANY (overdue);
    PERFORM postback.append(
        events, ARRAY(SELECT CASE WHEN e.message_id = ANY (silent) THEN e.message_id END
                      FROM unnest(events) WITH ORDINALITY e ORDER BY e.ordinality), NULL);
END $$;
