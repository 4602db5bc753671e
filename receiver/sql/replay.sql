-- Kept requests read again (docs/replay.md).

-- What becomes of one place in a timeline: `standing` is the event there and `owner` the request that told it;
-- `place` is that of the event that belongs there now, among the events of the requests read again or, for a
-- `witness`, among those of the others. `same`: both say the same.
CREATE TYPE postback.verdict AS (
    message_id uuid, key uuid, standing uuid, owner uuid, place bigint, witness boolean, same boolean,
    teller uuid, received_at timestamptz
);

-- Inbound messages that these requests have told before stay the messages that they became: the reference of
-- one without an id of its carrier's moves on to the next of the same words. One that was not understood until
-- now is none of those that came more than a minute before or after it.
CREATE FUNCTION postback.pinned(events postback.event_in[]) RETURNS postback.event_in[]
LANGUAGE plpgsql STABLE AS $$
BEGIN
    FOR n IN 1..cardinality(events) LOOP
        CONTINUE WHEN NOT events[n].inbound;
        events[n].message_id := (
            SELECT e.message_id FROM postback.payload p
            CROSS JOIN unnest(p.message_ids) AS i (id) JOIN postback.event e ON e.message_id = i.id
            WHERE p.id = events[n].payload_id AND e.key = events[n].key AND NOT e.superseded LIMIT 1);
        IF events[n].message_id IS NULL AND events[n].provider_message_id LIKE ':untimed_inbound%' AND EXISTS (
            SELECT FROM postback.reference r JOIN postback.message m ON m.id = r.message_id
            WHERE r.provider_message_id = events[n].provider_message_id AND r.channel = events[n].channel
                AND r.inbound AND m.updated_at > events[n].received_at + interval '60 seconds')
        THEN
            events[n].provider_message_id := events[n].provider_message_id || ':' || events[n].payload_id;
        END IF;
    END LOOP;
    RETURN events;
END $$;

-- Reads `payloads` again: `events` is what they say now. Of what they said before, the events that they say
-- no longer, or say otherwise, are superseded, and the new ones are written; then the messages are folded again.
-- Where an event loses its teller, others may have told it too: `witnesses` are those, `testimony` what they
-- say now. If one is missing, nothing is done: error PB002, with their ids as its detail. Nor where one was
-- removed after it was read, with its message redacted: error PB003, with the ids of those. A dry run does
-- everything and takes it back: error PB001, with the answer as its detail.
-- Order of locks: payload, then as `ingest`.
CREATE FUNCTION postback.replay(
    payloads postback.payload_in[], events postback.event_in[], inbounds postback.inbound_in[],
    files postback.media_in[], templates postback.template_in[], others jsonb,
    witnesses uuid[], testimony postback.event_in[], stamp uuid, dry boolean
) RETURNS jsonb
LANGUAGE plpgsql SET lock_timeout = '500ms' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    replayed CONSTANT uuid[] := ARRAY(SELECT p.id FROM unnest(payloads) p);
    targets uuid[] := '{}';
    found_by integer[];
    heard uuid[];
    touched uuid[];
    missing uuid[];
    verdicts postback.verdict[];
    fresh postback.event_in[];
    places uuid[];
    ways integer[];
    consents postback.consent_in[];
    heeded record;
    before jsonb;
    answer jsonb;
BEGIN
    SELECT jsonb_object_agg(p.id, p.state) INTO before FROM (
        SELECT id, state FROM postback.payload WHERE id = ANY (replayed) ORDER BY id FOR UPDATE
    ) p;
    IF cardinality(events) > 0 THEN
        events := postback.pinned(postback.spread(events));
        SELECT * INTO targets, found_by FROM postback.resolve(events);
        PERFORM postback.begin_messages(events, targets, inbounds, files, others);
        PERFORM postback.take_numbers(events, targets, others);
    END IF;
    IF cardinality(templates) > 0 THEN
        PERFORM postback.hear_templates(templates);
    END IF;

    SELECT array_agg(DISTINCT coalesce(a.message_id, i.id)) INTO heard
    FROM postback.payload p CROSS JOIN unnest(p.message_ids) AS i (id)
    LEFT JOIN postback.adopted a ON a.id = i.id
    WHERE p.id = ANY (replayed);
    -- not in their order any more, so without waiting
    PERFORM FROM postback.message m WHERE m.id = ANY (heard) AND m.id <> ALL (array_remove(targets, NULL))
    ORDER BY m.id FOR NO KEY UPDATE NOWAIT;
    touched := ARRAY(SELECT unnest(targets) UNION SELECT unnest(heard));

    -- From here on nobody redacts these messages; whoever does so later finds what is written now.
    missing := ARRAY(SELECT unnest(replayed || witnesses) EXCEPT
                     SELECT p.id FROM postback.payload p WHERE p.id = ANY (replayed || witnesses));
    IF missing <> '{}' THEN
        RAISE EXCEPTION 'removed meanwhile' USING ERRCODE = 'PB003', DETAIL = to_jsonb(missing)::text;
    END IF;
    missing := postback.other_tellers(replayed, events, targets, touched, witnesses);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'others told the same' USING ERRCODE = 'PB002', DETAIL = to_jsonb(missing)::text;
    END IF;
    testimony := postback.pinned(postback.spread(testimony));
    verdicts := postback.judged(replayed, events, targets, touched, testimony);

    UPDATE postback.payload p SET retold = true FROM unnest(verdicts) v
    WHERE p.id = v.owner AND v.place IS NOT NULL AND v.teller <> v.owner AND NOT p.retold;
    UPDATE postback.event e SET payload_id = v.teller, received_at = v.received_at FROM unnest(verdicts) v
    WHERE v.same AND e.message_id = v.message_id AND e.key = v.key AND e.message_id = ANY (touched);
    UPDATE postback.event e SET superseded = true, key = e.id FROM unnest(verdicts) v
    WHERE v.standing IS NOT NULL AND NOT v.same
        AND e.message_id = v.message_id AND e.key = v.key AND e.message_id = ANY (touched);

    SELECT coalesce(array_agg(CASE WHEN v.witness THEN testimony[v.place] ELSE events[v.place] END ORDER BY v.at), '{}'),
        coalesce(array_agg(v.message_id ORDER BY v.at), '{}'),
        coalesce(array_agg(CASE WHEN v.witness THEN 0 ELSE found_by[v.place] END ORDER BY v.at), '{}')
    INTO fresh, places, ways
    FROM (
        SELECT v.*, row_number() OVER (ORDER BY v.received_at, v.teller, v.place) AS at
        FROM unnest(verdicts) v WHERE NOT v.same AND v.place IS NOT NULL
    ) v;
    consents := postback.consents(fresh, places, inbounds, others);
    IF consents IS NOT NULL AND NOT dry THEN
        SELECT * INTO heeded FROM postback.heed(consents);
    END IF;
    answer := postback.fold_again(
        ARRAY(SELECT DISTINCT v.message_id FROM unnest(verdicts) v WHERE NOT v.same),
        fresh, places, ways, stamp, dry);
    IF consents IS NOT NULL AND NOT dry THEN
        PERFORM postback.append(heeded.events, heeded.targets, NULL);
    END IF;
    PERFORM postback.file_payloads(payloads, events, targets);

    SELECT jsonb_build_object(
        'messages', answer,
        'superseded', (SELECT count(*) FROM unnest(verdicts) v WHERE v.standing IS NOT NULL AND NOT v.same),
        'payloads', (SELECT jsonb_agg(jsonb_build_object(
                         'id', p.id, 'before', before ->> p.id::text, 'after', p.state, 'reason', p.reason) ORDER BY p.id)
                     FROM postback.payload p WHERE p.id = ANY (replayed)))
    INTO answer;
    IF dry THEN
        RAISE EXCEPTION 'a dry run' USING ERRCODE = 'PB001', DETAIL = answer::text;
    END IF;
    RETURN answer;
END $$;

-- Requests whose words may stand in for those of `replayed` that say something no longer, and that are not
-- among `witnesses`.
CREATE FUNCTION postback.other_tellers(
    replayed uuid[], events postback.event_in[], targets uuid[], touched uuid[], witnesses uuid[]
) RETURNS uuid[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    losing uuid[];
BEGIN
    SELECT array_agg(DISTINCT s.message_id) INTO losing
    FROM postback.event s
    WHERE s.message_id = ANY (touched) AND s.payload_id = ANY (replayed) AND NOT s.superseded
        AND NOT EXISTS (
            SELECT FROM unnest(events) WITH ORDINALITY AS e
            WHERE targets[e.ordinality] = s.message_id AND e.key = s.key AND e.payload_id = s.payload_id);
    IF losing IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT array_agg(p.id ORDER BY p.id) FROM postback.payload p
        WHERE p.retold AND p.id <> ALL (replayed || witnesses)
            AND p.message_ids && (losing || ARRAY(
                SELECT a.id FROM postback.adopted a WHERE a.message_id = ANY (losing))));
END $$;

-- One verdict per place of a timeline where something changes. The earliest request that says something is
-- the one whose wording stands, as if all of them had been read this way when they came.
CREATE FUNCTION postback.judged(
    replayed uuid[], events postback.event_in[], targets uuid[], touched uuid[], testimony postback.event_in[]
) RETURNS postback.verdict[]
LANGUAGE sql STABLE AS $$
    WITH said AS (
        SELECT targets[e.ordinality] AS home, e.*, false AS witness
        FROM unnest(events) WITH ORDINALITY AS e WHERE targets[e.ordinality] IS NOT NULL
        UNION ALL
        SELECT coalesce(l.own, l.referenced), e.*, true
        FROM unnest(testimony) WITH ORDINALITY AS e JOIN postback.located(testimony) l ON l.place = e.ordinality
        WHERE coalesce(l.own, l.referenced) IS NOT NULL
    ), stands AS (
        SELECT s.*, s.payload_id = ANY (replayed) AS ours,
            EXISTS (SELECT FROM said t WHERE NOT t.witness AND t.home = s.message_id AND t.key = s.key
                        AND t.payload_id = s.payload_id) AS upheld
        FROM postback.event s
        WHERE s.message_id = ANY (touched) AND NOT s.superseded AND s.payload_id IS NOT NULL
    ), first AS (
        SELECT DISTINCT ON (t.home, t.key) t.*
        FROM said t LEFT JOIN stands s ON s.message_id = t.home AND s.key = t.key
        WHERE NOT t.witness OR s.ours AND NOT s.upheld
        ORDER BY t.home, t.key, t.payload_id, t.ordinality
    ), compared AS (
        SELECT coalesce(f.home, s.message_id) AS message_id, coalesce(f.key, s.key) AS key, s.id AS standing,
            s.payload_id AS owner, f.ordinality AS place, f.witness, s.ours, f.payload_id AS teller, f.received_at,
            f.key IS NOT NULL AND s.key IS NOT NULL
            AND (f.status, f.bits, f.part, f.provider_status, f.provider_code, f.provider_message,
                 f.error_class, f.occurred_at)
                IS NOT DISTINCT FROM
                (s.status, s.bits, s.part, s.provider_status, s.provider_code, s.provider_message,
                 s.error_class, s.occurred_at) AS same
        FROM first f FULL JOIN stands s ON s.message_id = f.home AND s.key = f.key
    )
    SELECT coalesce(array_agg(ROW(c.message_id, c.key, c.standing, c.owner, c.place, c.witness, c.same, c.teller,
                                  c.received_at)::postback.verdict), '{}')
    FROM compared c
    WHERE c.owner IS NULL
        OR c.ours AND c.teller IS NULL
        OR (c.ours OR c.teller < c.owner) AND NOT (c.same AND c.teller = c.owner)
$$;

-- The requests as they are kept from now on.
CREATE FUNCTION postback.file_payloads(
    payloads postback.payload_in[], events postback.event_in[], targets uuid[]
) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    UPDATE postback.payload p SET
        state = n.state, reason = n.reason, message_ids = n.message_ids, retold = n.retold
    FROM (
        SELECT g.id, g.reason, coalesce(t.message_ids, '{}') AS message_ids, coalesce(t.retold, false) AS retold,
            CASE WHEN g.state = 'applied' AND NOT t.owns THEN 'duplicate' ELSE g.state END AS state
        FROM unnest(payloads) g
        LEFT JOIN (
            SELECT e.payload_id, array_agg(DISTINCT targets[e.ordinality]) AS message_ids,
                bool_or(s.payload_id = e.payload_id) AS owns, bool_or(s.payload_id <> e.payload_id) AS retold
            FROM unnest(events) WITH ORDINALITY AS e
            CROSS JOIN LATERAL (
                SELECT s.payload_id FROM postback.event s
                WHERE s.message_id = targets[e.ordinality] AND s.key = e.key OFFSET 0
            ) s
            GROUP BY e.payload_id
        ) t ON t.payload_id = g.id
    ) n
    WHERE p.id = n.id AND (p.state, p.reason, p.message_ids, p.retold)
        IS DISTINCT FROM (n.state, n.reason, n.message_ids, n.retold);
END $$;
