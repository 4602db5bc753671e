-- What processes keep of content in memory, and how they forget it: a redaction commits its number, then waits
-- until every process that holds a lease has seen that number.

-- From here to the commit nobody writes down what was rendered before, and nobody renews a lease: the number
-- that is taken is the next one to be committed.
CREATE FUNCTION postback.note_redaction(redacted uuid[]) RETURNS bigint
LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
    noted bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('postback.redaction', 0));
    INSERT INTO postback.redaction (ids, redacted_at) VALUES (redacted, clock_timestamp())
    RETURNING number INTO noted;
    DELETE FROM postback.redaction r
    WHERE r.redacted_at < clock_timestamp() - interval '1 hour'
        AND r.number = ANY (ARRAY(SELECT o.number FROM postback.redaction o ORDER BY o.number LIMIT 100));
    RETURN noted;
END $$;

-- The redactions after number `known` that process `me` has to forget. Where there is none, its lease is
-- renewed; NULL for `lease` only looks.
CREATE FUNCTION postback.heed_redactions(me uuid, known bigint, lease interval)
RETURNS TABLE (number bigint, ids uuid[])
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
#variable_conflict use_column
BEGIN
    IF lease IS NOT NULL THEN
        -- A redaction that is about to commit either finds this lease, or is found here.
        PERFORM pg_advisory_xact_lock_shared(hashtextextended('postback.redaction', 0));
    END IF;
    RETURN QUERY SELECT r.number, r.ids FROM postback.redaction r WHERE r.number > known ORDER BY r.number;
    IF NOT FOUND AND lease IS NOT NULL THEN
        INSERT INTO postback.content_lease AS l (id, seen, lease_until) VALUES (me, known, clock_timestamp() + lease)
        ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, lease_until = excluded.lease_until;
        DELETE FROM postback.content_lease l WHERE l.lease_until < clock_timestamp() - interval '1 minute';
    END IF;
END $$;

-- How many processes may still use what was redacted up to number `noted`.
CREATE FUNCTION postback.unaware_of(noted bigint) RETURNS bigint
LANGUAGE sql SET jit = off AS $$
    SELECT count(*) FROM postback.content_lease l WHERE l.seen < noted AND l.lease_until > clock_timestamp()
$$;

-- The tries of a delivery without what was answered to them: it may repeat what was posted.
CREATE FUNCTION postback.without_answers(attempts jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_agg(a.attempt || '{"answer": null}' ORDER BY a.place), '[]')
    FROM jsonb_array_elements(attempts) WITH ORDINALITY a (attempt, place)
$$;

-- Everything that was, or is to be, posted of these events, to whomever: found by their numbers, because a
-- message may have been another one when it was posted.
CREATE FUNCTION postback.deliveries_of(numbers bigint[]) RETURNS uuid[]
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE line AS (
        (SELECT d.subscriber_id, d.replay FROM postback.delivery d ORDER BY d.subscriber_id, d.replay LIMIT 1)
        UNION ALL
        SELECT n.subscriber_id, n.replay FROM line l CROSS JOIN LATERAL (
            SELECT d.subscriber_id, d.replay FROM postback.delivery d
            WHERE (d.subscriber_id, d.replay) > (l.subscriber_id, l.replay)
            ORDER BY d.subscriber_id, d.replay LIMIT 1) n
    )
    SELECT array_agg(d.id) FROM line l CROSS JOIN unnest(numbers) AS e (seq) CROSS JOIN LATERAL (
        SELECT d.id FROM postback.delivery d
        WHERE d.subscriber_id = l.subscriber_id AND d.replay = l.replay AND d.seq = e.seq OFFSET 0) d
$$;
