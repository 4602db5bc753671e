-- What ends by its time alone: sends that no sender takes, and calls of which nobody hears anything.

-- Looks at the `most` rows of the outbox that follow `after`, and ends those queued for channels that are not among
-- `known`: past their expiry, or, where they have none, with an id below `before`. A channel on which something
-- is claimed has a sender that knows it, whatever the caller knows: its rows are left to that one. Answers with
-- the last id looked at, NULL where there is nothing more to look at, and the channels of what ended, one for
-- each.
-- Order of locks: message, outbox, feed head.
CREATE FUNCTION postback.end_unsent(
    known text[], before uuid, after uuid, most integer, OUT last uuid, OUT channels text[])
LANGUAGE plpgsql SET lock_timeout = '500ms' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    why CONSTANT text := 'Its channel was not configured any more when its time was over.';
    unknown text[];
    looked uuid[];
    late uuid[];
    events postback.event_in[] := '{}';
    event postback.event_in;
    one postback.outbox;
BEGIN
    channels := '{}';
    unknown := ARRAY(
        SELECT q.channel FROM postback.queued_channels() q
        WHERE q.channel <> ALL (known)
            AND (SELECT true FROM postback.outbox o
                 WHERE o.state IN ('claimed', 'calling') AND o.channel = q.channel LIMIT 1) IS NULL);
    IF unknown = '{}' THEN
        RETURN;
    END IF;
    looked := ARRAY(SELECT o.id FROM postback.outbox o WHERE o.id > after ORDER BY o.id LIMIT most);
    last := looked[cardinality(looked)];
    late := ARRAY(
        SELECT o.id FROM postback.outbox o
        LEFT JOIN LATERAL (
            SELECT b.expires_at FROM postback.message_body b WHERE b.message_id = o.id OFFSET 0
        ) b ON true
        WHERE o.id = ANY (looked) AND o.channel = ANY (unknown) AND o.state = 'queued'
            AND CASE WHEN b.expires_at IS NULL THEN o.id < before ELSE b.expires_at <= moment END);
    PERFORM FROM postback.message m WHERE m.id = ANY (late) ORDER BY m.id FOR NO KEY UPDATE;
    FOR one IN
        SELECT * FROM postback.outbox o WHERE o.id = ANY (late) AND o.state = 'queued' ORDER BY o.id FOR UPDATE
    LOOP
        DELETE FROM postback.outbox o WHERE o.id = one.id;
        channels := channels || one.channel::text;
        IF one.kind = 'template' THEN
            UPDATE postback.template t
            SET state = 'failed', error_class = 'expired', error_message = why, updated_at = moment
            WHERE t.id = one.id AND t.state = 'pending';
        ELSE
            event := postback.own_event(one.id, one.channel, 'sender', moment, 'expired', :expired_bit);
            event.error_class := 'expired';
            event.error_specificity := array_position(:error_classes, 'expired') - 1;
            event.provider_message := why;
            events := events || event;
        END IF;
    END LOOP;
    PERFORM postback.append(events, ARRAY(SELECT e.message_id FROM unnest(events) e), NULL);
END $$;

-- The channels that queued rows are of: one step along the index for each, however many rows they have.
CREATE FUNCTION postback.queued_channels() RETURNS TABLE (channel text)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH RECURSIVE step AS (
        SELECT (SELECT min(o.channel) FROM postback.outbox o WHERE o.state = 'queued') AS channel
        UNION ALL
        SELECT (SELECT min(o.channel) FROM postback.outbox o WHERE o.state = 'queued' AND o.channel > s.channel)
        FROM step s WHERE s.channel IS NOT NULL
    )
    SELECT s.channel::text FROM step s WHERE s.channel IS NOT NULL;
END $$;

-- Up to `most` messages of a channel that have been uncertain since before `since`.
CREATE FUNCTION postback.long_uncertain(the_channel text, since timestamptz, before uuid, most integer)
RETURNS TABLE (message_id uuid)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT a.message_id FROM postback.attention a
    CROSS JOIN LATERAL (SELECT m.channel FROM postback.message m WHERE m.id = a.message_id OFFSET 0) m
    WHERE a.uncertain AND a.message_id < before AND m.channel = the_channel
        AND (SELECT max(e.received_at) FROM postback.event e
             WHERE e.message_id = a.message_id AND e.status = 'uncertain' AND NOT e.superseded) < since
    ORDER BY a.message_id LIMIT most;
END $$;
