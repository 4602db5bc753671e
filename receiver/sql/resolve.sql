-- A report on a whole batch as one on each of its messages; most batches of requests hold none.
CREATE FUNCTION postback.spread(events postback.event_in[]) RETURNS postback.event_in[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    event postback.event_in;
    spread postback.event_in[] := '{}';
    known text[];
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(events) e WHERE e.batch_recipient = '*') THEN
        RETURN events;
    END IF;
    FOREACH event IN ARRAY events LOOP
        IF event.batch_recipient <> '*' THEN
            spread := spread || event;
            CONTINUE;
        END IF;
        SELECT array_agg(recipient ORDER BY recipient) INTO known FROM (
            SELECT s.recipient FROM postback.submission s
            WHERE s.id = event.submission_id AND s.channel = event.channel
            UNION
            SELECT r.recipient FROM postback.reference r
            WHERE r.provider_message_id = event.provider_message_id AND r.channel = event.channel
                AND NOT r.inbound AND r.recipient <> ''
        ) k;
        FOREACH event.batch_recipient IN ARRAY coalesce(known, ARRAY['']) LOOP
            spread := spread || event;
            event.id := (left(event.id::text, 15) || right(gen_random_uuid()::text, 21))::uuid;
        END LOOP;
    END LOOP;
    RETURN spread;
END $$;

-- Recipients of a batch as they were written when it was first heard of them, by us or by the carrier; nearly
-- always there is one way to write them.
CREATE FUNCTION postback.as_first_written(events postback.event_in[]) RETURNS postback.event_in[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    event postback.event_in;
    spellings text[];
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(events) e WHERE cardinality(postback.spellings(e.batch_recipient)) > 1) THEN
        RETURN events;
    END IF;
    FOR n IN 1..cardinality(events) LOOP
        event := events[n];
        spellings := postback.spellings(event.batch_recipient);
        CONTINUE WHEN cardinality(spellings) = 1;
        event.batch_recipient := coalesce(
            (SELECT s.recipient FROM postback.submission s
             WHERE s.id = event.submission_id AND s.channel = event.channel AND s.recipient = ANY (spellings)
             ORDER BY s.recipient = event.batch_recipient DESC LIMIT 1),
            (SELECT r.recipient FROM postback.reference r
             WHERE r.provider_message_id = event.provider_message_id AND r.channel = event.channel
                AND r.recipient = ANY (spellings) AND r.inbound = event.inbound
             ORDER BY r.recipient = event.batch_recipient DESC LIMIT 1),
            event.batch_recipient);
        events[n] := event;
    END LOOP;
    RETURN events;
END $$;

-- The message of the API that an event is about by the app's own reference, where that is what went out: the one of
-- that channel and person that is open or, where none is, the only one. A message that the carrier has given another
-- id is none of them. A person has fewer messages than a reference; where none is named, the newest hundred count.
CREATE FUNCTION postback.sent_as(event postback.event_in) RETURNS uuid
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN count(*) FILTER (WHERE m.open) = 1 THEN (array_agg(m.id) FILTER (WHERE m.open))[1]
                WHEN count(*) = 1 THEN (array_agg(m.id))[1] END
    FROM (
        SELECT n.id, n.seen & (:success_bits | :failure_bits) = 0 AS open
        FROM (
            SELECT m.id, m.channel, m.origin, m.seen FROM postback.message m
            WHERE event.contact IS NOT NULL AND m.contact = ANY (postback.spellings(event.contact))
                AND m.client_reference = event.client_reference
            UNION ALL
            (SELECT m.id, m.channel, m.origin, m.seen FROM postback.message m
             WHERE event.contact IS NULL AND m.client_reference = event.client_reference
             ORDER BY m.id DESC LIMIT 100)
            OFFSET 0
        ) n
        WHERE n.channel = event.channel AND n.origin = 'api'
            AND (SELECT true FROM postback.submission s
                 WHERE s.message_id = n.id AND s.id >= n.id AND s.reference = event.client_reference LIMIT 1)
            AND (event.provider_message_id LIKE ':internal%'
                 OR (SELECT true FROM postback.reference x
                     WHERE x.message_id = n.id AND x.provider_message_id NOT LIKE ':internal%' LIMIT 1) IS NULL)
    ) m
$$;

-- Where each event of a batch leads, as of this statement's snapshot: `own` by our reference or our id, or by
-- a guess that has exactly one answer; `referenced` by the carrier's id. Our reference counts only at the
-- door of the message's own channel and with the message's own recipient: nobody reports across channels.
--
-- Plans are made once for a connection, when a month's partition may still be empty, and a join that suits an
-- empty table reads a full one from end to end. So wherever a batch meets the large tables, the planner is left
-- no way but to look up in an index what the batch names: OFFSET 0 and `(SELECT true ...) IS NULL` go row by
-- row; where rows are changed, the ids stand once more as `= ANY (...)`, with nested loops off.
CREATE FUNCTION postback.located(events postback.event_in[])
RETURNS TABLE (
    place bigint, own uuid, referenced uuid, candidate uuid, found_by integer,
    provider_message_id text, channel text, recipient text, inbound boolean)
LANGUAGE sql STABLE AS $$
    SELECT e.ordinality, coalesce(own.id, sent.id, guessed.id), r.message_id, e.candidate,
        CASE WHEN coalesce(own.id, sent.id) IS NOT NULL THEN :own_id_bit
             WHEN guessed.id IS NOT NULL THEN :guessed_bit
             WHEN e.provider_message_id IS NOT NULL THEN :provider_id_bit
             ELSE 0 END,
        e.provider_message_id, e.channel, e.batch_recipient, e.inbound
    FROM unnest(events) WITH ORDINALITY AS e
    LEFT JOIN LATERAL (
        SELECT s.message_id FROM postback.submission s
        -- a call to several has a row per recipient, although each of its messages may have an id of its own
        WHERE s.id = e.submission_id AND s.channel = e.channel
            AND s.recipient = ANY (e.batch_recipient || postback.spellings(e.contact))
        ORDER BY s.recipient IN (e.batch_recipient, e.contact) DESC NULLS LAST LIMIT 1
    ) s ON true
    LEFT JOIN LATERAL (
        SELECT m.id FROM postback.message m
        WHERE m.id = coalesce(e.message_id, s.message_id) AND m.channel = e.channel
            AND (e.message_id IS NOT NULL OR e.contact IS NULL OR m.contact IS NULL 
                 OR postback.spelling(m.contact) = postback.spelling(e.contact))
        OFFSET 0
    ) own ON true
    LEFT JOIN LATERAL (
        SELECT r.message_id FROM postback.reference r
        WHERE r.provider_message_id = e.provider_message_id AND r.channel = e.channel
            AND r.recipient = e.batch_recipient AND r.inbound = e.inbound
        OFFSET 0
    ) r ON true
    LEFT JOIN LATERAL (
        SELECT postback.sent_as(events[e.ordinality]) AS id
        WHERE e.client_reference IS NOT NULL AND own.id IS NULL AND r.message_id IS NULL AND NOT e.inbound
        OFFSET 0
    ) sent ON true
    LEFT JOIN LATERAL (
        SELECT (array_agg(m.id))[1] AS id
        FROM (
            -- no look unless a guess is due; a person has fewer messages than a number or a channel of ours
            SELECT m.id, m.our_number, m.channel, m.origin, m.updated_at, m.seen FROM postback.message m
            WHERE e.guess_since IS NOT NULL AND own.id IS NULL AND r.message_id IS NULL
                AND m.contact = ANY (postback.spellings(e.contact))
            OFFSET 0
        ) m
        WHERE m.our_number = e.our_number AND m.channel = e.channel AND m.origin = 'api'
            AND m.updated_at >= e.guess_since
            AND (m.seen & (:queued_bit | :uncertain_bit) <> 0
                 OR e.guess_calling AND (SELECT o.state FROM postback.outbox o WHERE o.id = m.id) = 'calling')
            AND (SELECT true FROM postback.reference x
                 WHERE x.message_id = m.id AND x.provider_message_id NOT LIKE ':internal%' LIMIT 1) IS NULL
        HAVING count(*) = 1
    ) guessed ON true
$$;

-- Finds the message of every event, locks it, and adopts what turns out to be one message under two ids.
-- Answers with a message id per event: NULL where an event of ours outlived its message; an id that has no
-- row yet where the event is the first news of its message. `found_by` tells by which way, as a bit.
CREATE FUNCTION postback.resolve(events postback.event_in[], OUT targets uuid[], OUT found_by integer[])
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    strangers uuid[];
    locked uuid[];
    astray uuid[];
    pair record;
    guesses integer[];
    first_found integer[];
    unknown bigint[];
    looked_again boolean := false;
BEGIN
    events := postback.as_first_written(events);
    IF EXISTS (SELECT FROM unnest(events) e WHERE e.guess_since IS NOT NULL) THEN
        -- Once its reference is there, a guess looks like knowledge.
        SELECT array_agg(l.found_by & :guessed_bit ORDER BY l.place) INTO guesses FROM postback.located(events) l;
    END IF;
    IF EXISTS (SELECT FROM unnest(events) e WHERE e.provider_message_id LIKE ':untimed_inbound%') THEN
        -- The same again within a minute is the carrier's second try, later it is a second message.
        DELETE FROM postback.reference r USING unnest(events) e
        WHERE e.provider_message_id LIKE ':untimed_inbound%' AND r.provider_message_id = e.provider_message_id
            AND r.channel = e.channel AND r.inbound
            AND (SELECT m.updated_at FROM postback.message m WHERE m.id = r.message_id)
                < e.received_at - interval '60 seconds';
    END IF;

    FOR round IN 1..8 LOOP
        SELECT array_agg(coalesce(l.own, l.referenced, l.candidate) ORDER BY l.place),
            -- so does what went out under the app's reference
            array_agg(l.found_by | coalesce(guesses[l.place], 0) | coalesce(first_found[l.place] & :own_id_bit, 0)
                      ORDER BY l.place),
            array_agg(l.referenced) FILTER (WHERE l.own <> l.referenced),
            array_agg(l.place ORDER BY l.own IS NULL, l.place) FILTER (
                WHERE l.referenced IS NULL AND l.provider_message_id IS NOT NULL
                    AND coalesce(l.own, l.candidate) IS NOT NULL)
        INTO targets, found_by, strangers, unknown FROM postback.located(events) l;
        first_found := coalesce(first_found, found_by);

        IF unknown IS NOT NULL THEN
            INSERT INTO postback.reference (provider_message_id, channel, recipient, inbound, message_id)
            SELECT DISTINCT ON (e.provider_message_id, e.channel, e.batch_recipient, e.inbound)
                e.provider_message_id, e.channel, e.batch_recipient, e.inbound, targets[u.place]
            FROM unnest(unknown) WITH ORDINALITY AS u (place, turn)
            CROSS JOIN LATERAL (SELECT events[u.place].*) e
            ORDER BY e.provider_message_id, e.channel, e.batch_recipient, e.inbound, u.turn
            ON CONFLICT DO NOTHING;
            -- Look again, until all have a reference: an insert that yields to a row which another transaction
            -- has just committed does not see that row, and meanwhile the janitor may have cleared away a
            -- reference that the last look still found.
            CONTINUE;
        END IF;

        SELECT array_agg(id) INTO locked FROM (
            SELECT id FROM postback.message WHERE id = ANY (targets || coalesce(strangers, '{}'))
            ORDER BY id FOR NO KEY UPDATE
        ) m;

        -- Gone since the look: adopted by another transaction (look again), or past its retention while its
        -- reference lived on (then the reference is cleared away, and the report begins a new message).
        SELECT array_agg(t.id) INTO astray FROM (
            SELECT unnest(targets) EXCEPT SELECT unnest(locked) EXCEPT SELECT e.candidate FROM unnest(events) e
        ) AS t (id) WHERE t.id IS NOT NULL;
        IF astray IS NOT NULL THEN
            IF looked_again THEN
                DELETE FROM postback.reference WHERE message_id = ANY (astray);
            END IF;
            looked_again := true;
            CONTINUE;
        END IF;
        IF strangers IS NULL THEN
            RETURN;
        END IF;

        FOR pair IN
            SELECT DISTINCT l.own, l.referenced FROM postback.located(events) l
            JOIN postback.message m ON m.id = l.referenced
            WHERE l.own <> l.referenced AND m.origin = 'external' AND m.id = ANY (locked)
            ORDER BY l.own, l.referenced
        LOOP
            PERFORM postback.adopt(pair.own, pair.referenced);
        END LOOP;
        IF NOT FOUND THEN
            RETURN; -- both are ours: our own reference is the better witness
        END IF;
    END LOOP;
    RAISE EXCEPTION 'messages of a batch kept changing their identity' USING ERRCODE = '40001';
END $$;
