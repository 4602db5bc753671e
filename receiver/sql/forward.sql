-- Subscribers are shared out among the processes that forward, by a lease of each process. What a process has
-- done it writes down in batches, and only for subscribers that it still holds.

-- A delivery as it stands; `attempts` is JSON.
CREATE TYPE postback.delivery_in AS (
    id uuid, subscriber_id uuid, event_id uuid, message_id uuid, seq bigint, replay integer, lane text, state text,
    late boolean, tries integer, attempts text, body bytea, next_at timestamptz
);

-- How far a subscriber has come. `replay` numbers the replay that has come to `replay_after`, NULL at its end.
-- `recovered`: it answers again, so what is parked need not wait for its turn.
CREATE TYPE postback.place_in AS (
    subscriber_id uuid, cursor bigint, failing_since timestamptz, disabled_reason text, replay integer,
    replay_after bigint, recovered boolean
);

-- Renews the lease of process `me` and takes subscribers that nobody living holds, up to its share of all.
-- Answers with that share: who holds more lets go of the rest.
CREATE FUNCTION postback.claim_subscribers(me uuid, lease interval) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    share integer;
BEGIN
    -- one after the other: what each sees of the others is what is so
    PERFORM pg_advisory_xact_lock(hashtextextended('postback.subscriber', 0));
    INSERT INTO postback.forwarder AS f (id, lease_until) VALUES (me, clock_timestamp() + lease)
    ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until;
    DELETE FROM postback.forwarder f WHERE f.lease_until < clock_timestamp();
    SELECT ceil((SELECT count(*) FROM postback.subscriber s WHERE s.state = 'active')::numeric
                / (SELECT count(*) FROM postback.forwarder)) INTO share;
    UPDATE postback.subscriber s SET holder = me WHERE s.id = ANY (ARRAY(
        SELECT c.id FROM postback.subscriber c
        WHERE c.state = 'active'
            AND (c.holder IS NULL OR NOT EXISTS (SELECT FROM postback.forwarder f WHERE f.id = c.holder))
        ORDER BY c.id
        LIMIT greatest(share - (SELECT count(*) FROM postback.subscriber h WHERE h.holder = me), 0)
        FOR NO KEY UPDATE SKIP LOCKED));
    RETURN share;
END $$;

-- Gives up `ids`, or with NULL everything and the lease.
CREATE FUNCTION postback.release_subscribers(me uuid, ids uuid[]) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
BEGIN
    UPDATE postback.subscriber s SET holder = NULL WHERE s.holder = me AND (ids IS NULL OR s.id = ANY (ids));
    IF ids IS NULL THEN
        DELETE FROM postback.forwarder f WHERE f.id = me;
    END IF;
END $$;

-- Writes down deliveries and places. Answers with the subscribers that `me` still held; of others nothing is
-- written. `known` is the redaction up to which `me` has forgotten: what was redacted after it is left out.
CREATE FUNCTION postback.log_deliveries(
    me uuid, places postback.place_in[], deliveries postback.delivery_in[], known bigint,
    moment timestamptz
) RETURNS uuid[]
LANGUAGE plpgsql SET lock_timeout = '2s' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    mine uuid[] := ARRAY(
        SELECT s.id FROM postback.subscriber s
        WHERE s.id = ANY (ARRAY(SELECT p.subscriber_id FROM unnest(places) p)) AND s.holder = me
        ORDER BY s.id FOR NO KEY UPDATE);
    anything boolean;
    redacted uuid[];
BEGIN
    -- a redaction that is about to commit either finds these rows, or is found here
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('postback.redaction', 0));
    anything := EXISTS (SELECT FROM postback.redaction r WHERE r.number > known AND r.ids IS NULL);
    redacted := ARRAY(SELECT unnest(r.ids) FROM postback.redaction r WHERE r.number > known);
    INSERT INTO postback.delivery AS d (
        id, subscriber_id, event_id, message_id, seq, replay, lane, state, late, tries, attempts, body, next_at)
    SELECT n.id, n.subscriber_id, n.event_id, n.message_id, n.seq, n.replay, n.lane, n.state, n.late, n.tries,
        CASE WHEN o.old THEN postback.without_answers(n.attempts::jsonb) ELSE n.attempts::jsonb END,
        CASE WHEN NOT o.old THEN n.body END, n.next_at
    FROM unnest(deliveries) n CROSS JOIN LATERAL (SELECT anything OR n.event_id = ANY (redacted) AS old) o
    WHERE n.subscriber_id = ANY (mine)
    ON CONFLICT (subscriber_id, replay, seq) DO UPDATE SET
        state = excluded.state, late = excluded.late, tries = excluded.tries, attempts = excluded.attempts,
        body = excluded.body, next_at = excluded.next_at;
    UPDATE postback.delivery d SET next_at = moment + random() * interval '2 seconds'
    WHERE d.subscriber_id = ANY (ARRAY(SELECT p.subscriber_id FROM unnest(places) p WHERE p.recovered))
        AND d.subscriber_id = ANY (mine) AND d.state = 'parked' AND d.next_at > moment;
    UPDATE postback.subscriber s SET
        cursor = p.cursor,
        failing_since = p.failing_since,
        state = CASE WHEN p.disabled_reason IS NULL THEN s.state ELSE 'disabled' END,
        disabled_reason = p.disabled_reason,
        holder = CASE WHEN p.disabled_reason IS NULL THEN s.holder END,
        replay_after = CASE WHEN s.replay = p.replay THEN p.replay_after ELSE s.replay_after END
    FROM unnest(places) p WHERE s.id = p.subscriber_id AND s.id = ANY (mine);
    RETURN mine;
END $$;
