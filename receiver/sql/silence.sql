-- Reports that never come.

-- Up to `most` messages whose report is overdue, for the caller to ask about and to settle; another caller
-- gets them only after `lease`. Those that a report has decided meanwhile leave the table here.
CREATE FUNCTION postback.overdue(most integer, lease interval)
RETURNS TABLE (message_id uuid, channel varchar, contact varchar, provider_message_ids varchar[])
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM postback.awaited_report a
    WHERE a.due <= clock_timestamp()
        AND NOT EXISTS (SELECT FROM postback.message m WHERE m.id = a.message_id AND m.seen < :unconfirmed_bit);
    RETURN QUERY
    WITH taken AS (
        UPDATE postback.awaited_report a SET due = clock_timestamp() + lease
        FROM (SELECT x.message_id FROM postback.awaited_report x WHERE x.due <= clock_timestamp()
              ORDER BY x.due LIMIT most FOR UPDATE SKIP LOCKED) late
        WHERE a.message_id = late.message_id
        RETURNING a.message_id
    )
    SELECT m.id, m.channel, m.contact,
        ARRAY(SELECT r.provider_message_id FROM postback.reference r WHERE r.message_id = m.id ORDER BY 1)
    FROM taken t JOIN postback.message m ON m.id = t.message_id;
END $$;

-- Ends the wait for messages of which nothing was heard: `events` say so, and count only where that is still
-- true. A report that comes later still wins.
CREATE FUNCTION postback.give_up(events postback.event_in[]) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
    silent uuid[];
BEGIN
    SELECT array_agg(id) INTO silent FROM (
        SELECT m.id FROM postback.message m
        WHERE m.id IN (SELECT e.message_id FROM unnest(events) e) AND m.seen < :unconfirmed_bit
        ORDER BY m.id FOR NO KEY UPDATE
    ) m;
    DELETE FROM postback.awaited_report a USING unnest(events) e WHERE a.message_id = e.message_id;
    PERFORM postback.append(
        events, ARRAY(SELECT CASE WHEN e.message_id = ANY (silent) THEN e.message_id END
                      FROM unnest(events) WITH ORDINALITY e ORDER BY e.ordinality), NULL);
END $$;
