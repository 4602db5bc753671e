-- Messages folded again from the events that stand: after a replay, or after the ladder has changed.

-- The status of a set, as `models.status.status_of` tells it.
CREATE FUNCTION postback.status_word(seen integer, origin text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN seen >= :lowest_rung THEN (:ladder)[length(ltrim(seen::bit(32)::text, '0')) - 8]
                WHEN origin = 'api' THEN 'accepted' ELSE 'queued' END
$$;

-- Folds the messages `ids` from the events that stand and `events`, which are written under the next number
-- of a replay. The caller holds the locks of their rows. Where the status changes and none of `events` says
-- so, an event of the operator's does; it adds nothing to the set. Answers with what became of each message.
CREATE FUNCTION postback.fold_again(
    ids uuid[], events postback.event_in[], targets uuid[], found_by integer[], stamp uuid, dry boolean
) RETURNS jsonb
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    folds jsonb;
BEGIN
    WITH fresh AS (
        SELECT e.*, targets[e.ordinality] AS home,
            e.bits | CASE WHEN e.source = 'report' AND NOT e.inbound THEN coalesce(found_by[e.ordinality], 0)
                          ELSE 0 END AS marked
        FROM unnest(events) WITH ORDINALITY AS e
    ), fold AS (
        SELECT m.*, s.replay, coalesce(n.news, 0) AS news, n.latest, n.number, n.other, n.named,
            -- how reports found the message is no event's word, so it stays
            m.seen & :correlation_bits | coalesce(s.bits, 0) | coalesce(n.bits, 0) AS folded
        FROM unnest(ids) AS i (id)
        CROSS JOIN LATERAL (
            SELECT m.id, m.origin, m.channel, m.version, m.seen FROM postback.message m WHERE m.id = i.id OFFSET 0
        ) m
        CROSS JOIN LATERAL (
            SELECT bit_or(e.bits) FILTER (WHERE NOT e.superseded) AS bits, coalesce(max(e.replay), 0) + 1 AS replay
            FROM postback.event e WHERE e.message_id = i.id
        ) s
        LEFT JOIN (
            SELECT f.home, bit_or(f.marked) AS bits, count(*)::integer AS news, max(f.received_at) AS latest,
                min(f.our_number) AS number, min(f.contact) AS other, min(f.client_reference) AS named
            FROM fresh f GROUP BY f.home
        ) n ON n.home = i.id
    ), judged AS (
        SELECT f.*, postback.status_word(f.folded, f.origin) AS status,
            CASE WHEN f.version > 0 THEN postback.status_word(f.seen, f.origin) END AS status_before
        FROM fold f
    ), silent AS (
        SELECT j.* FROM judged j
        WHERE j.status_before <> j.status
            AND NOT EXISTS (SELECT FROM fresh f WHERE f.home = j.id AND f.status = j.status)
    ), folding AS (
        UPDATE postback.message m
        SET seen = j.folded,
            version = j.version + j.news + (SELECT count(*)::integer FROM silent s WHERE s.id = j.id),
            updated_at = greatest(m.updated_at, j.latest),
            our_number = CASE WHEN m.origin = 'external' THEN least(m.our_number, j.number) ELSE m.our_number END,
            contact = CASE WHEN m.origin = 'external' THEN least(m.contact, j.other) ELSE m.contact END,
            client_reference = CASE WHEN m.origin = 'external'
                THEN least(m.client_reference, j.named) ELSE m.client_reference END
        FROM judged j WHERE m.id = j.id AND m.id = ANY (ids)
    ), news AS (
        SELECT j.id AS message_id, f.key, f.id, j.version + row_number() OVER told AS version,
            CASE WHEN f.bits & :conflict_bits <> 0 AND j.folded & :success_bits <> 0
                 THEN 'message.conflict' ELSE f.type END AS type,
            f.channel, f.status, f.bits,
            f.status = j.status AND j.status_before IS DISTINCT FROM j.status
                AND row_number() OVER (PARTITION BY f.home, f.status ORDER BY f.ordinality) = 1 AS effective,
            f.source, f.part, f.attempt, f.provider_status, f.provider_code, f.provider_message, f.error_class,
            f.occurred_at, f.received_at, f.payload_id, j.replay, f.ordinality AS place
        FROM fresh f JOIN judged j ON j.id = f.home
        WINDOW told AS (PARTITION BY f.home ORDER BY f.ordinality)
        UNION ALL
        SELECT s.id, x.id, x.id, s.version + s.news + 1, 'message.' || s.status, s.channel, s.status, 0, true,
            'operator', 0, 1, NULL, NULL, NULL, NULL, NULL, clock_timestamp(), NULL, s.replay, NULL
        FROM silent s
        CROSS JOIN LATERAL (
            -- the time of a UUIDv7 and chance
            SELECT (left(stamp::text, 15) || right(gen_random_uuid()::text, 21))::uuid AS id WHERE s.id IS NOT NULL
        ) x
    ), head AS (
        -- the last lock, as everywhere; a dry run leaves it to those who write
        UPDATE postback.feed_head SET seq = seq + (SELECT count(*) FROM news)
        WHERE NOT dry AND EXISTS (SELECT FROM news)
        RETURNING seq - (SELECT count(*) FROM news) AS before
    ), appended AS (
        INSERT INTO postback.event (
            message_id, key, id, seq, version, type, channel, status, bits, effective, source, part, attempt,
            provider_status, provider_code, provider_message, error_class, occurred_at, received_at,
            payload_id, replay, superseded)
        SELECT n.message_id, n.key, n.id,
            coalesce((SELECT h.before FROM head h), 0) + row_number() OVER (ORDER BY n.place NULLS LAST, n.message_id),
            n.version, n.type, n.channel, n.status, n.bits, coalesce(n.effective, false), n.source, n.part, n.attempt,
            n.provider_status, n.provider_code, n.provider_message, n.error_class, n.occurred_at, n.received_at,
            n.payload_id, n.replay, false
        FROM news n
    )
    SELECT jsonb_agg(jsonb_build_object(
        'id', j.id, 'channel', j.channel, 'before', j.status_before, 'after', j.status, 'written', j.news) ORDER BY j.id)
    INTO folds FROM judged j;

    DELETE FROM postback.attention a WHERE a.message_id = ANY (ids);
    PERFORM postback.attend(ARRAY(
        SELECT ROW(m.id, e.error_class, array_position(:error_classes, e.error_class) - 1, e.provider_code,
                   e.provider_message)::postback.failure_in
        FROM unnest(ids) AS i (id)
        CROSS JOIN LATERAL (SELECT m.id, m.seen FROM postback.message m WHERE m.id = i.id OFFSET 0) m
        LEFT JOIN LATERAL (
            SELECT e.* FROM postback.event e
            WHERE e.message_id = i.id AND NOT e.superseded AND e.bits & :failure_bits <> 0 OFFSET 0
        ) e ON true
        WHERE m.seen & (:failure_bits | :uncertain_bit) <> 0));
    RETURN coalesce(folds, '[]');
END $$;

-- What an event adds to the set, by today's ladder. What announces a new fold adds nothing.
CREATE FUNCTION postback.bits_today(bits integer, status text, source text, replay integer) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN source = 'operator' AND replay > 0 THEN 0
                ELSE bits & (:lowest_rung - 1)
                    | coalesce(:lowest_rung << (array_position(:ladder, status) - 1), 0) END
$$;

-- Folds the next `most` messages after `place`; only those are locked and written whose set is not what their
-- events make of it today. Answers with the last id looked at (null at the end) and what changed.
CREATE FUNCTION postback.recompute(place uuid, most integer, stamp uuid) RETURNS jsonb
LANGUAGE plpgsql SET lock_timeout = '500ms' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    looked_at uuid[] := ARRAY(SELECT m.id FROM postback.message m WHERE m.id > place ORDER BY m.id LIMIT most);
    wrong uuid[];
BEGIN
    SELECT array_agg(m.id) INTO wrong FROM (
        SELECT m.id FROM unnest(looked_at) AS i (id)
        CROSS JOIN LATERAL (SELECT m.id, m.seen FROM postback.message m WHERE m.id = i.id OFFSET 0) m
        CROSS JOIN LATERAL (
            SELECT coalesce(bit_or(postback.bits_today(e.bits, e.status, e.source, e.replay)) FILTER (WHERE NOT e.superseded), 0) AS bits,
                bool_or(e.bits <> postback.bits_today(e.bits, e.status, e.source, e.replay)) AS stale
            FROM postback.event e WHERE e.message_id = i.id
        ) s
        WHERE s.stale OR m.seen <> m.seen & :correlation_bits | s.bits
    ) m;
    wrong := ARRAY(SELECT m.id FROM postback.message m WHERE m.id = ANY (wrong) ORDER BY m.id FOR NO KEY UPDATE);
    UPDATE postback.event e SET bits = postback.bits_today(e.bits, e.status, e.source, e.replay)
    WHERE e.message_id = ANY (wrong) AND e.bits <> postback.bits_today(e.bits, e.status, e.source, e.replay);
    RETURN jsonb_build_object(
        'looked_at', cardinality(looked_at),
        'last', looked_at[cardinality(looked_at)],
        'messages', postback.fold_again(wrong, '{}', '{}', NULL, stamp, false));
END $$;
