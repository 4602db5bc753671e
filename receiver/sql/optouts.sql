-- Opting out and in. The list follows from the ledger alone: a pair is opted out if somebody opted out since
-- the last opt-in that covers its number, by the time at which it was said. So a STOP that waited on disk
-- while Postgres was away counts from when it came, and the order in which entries are written is nothing.

-- What the events of a batch say about being written to: words of people in messages that are new with it,
-- and carriers' refusals to write to somebody. Nearly always that is nothing, and NULL. What was said to a number
-- of other channels (`others`) is said to the channel alone.
CREATE FUNCTION postback.consents(
    events postback.event_in[], targets uuid[], inbounds postback.inbound_in[], others jsonb
) RETURNS postback.consent_in[]
LANGUAGE plpgsql AS $$
DECLARE
    found record;
    said postback.consent_in;
    consents postback.consent_in[];
BEGIN
    FOR found IN
        SELECT (i.consent).id, m.our_number, m.channel, m.contact, i.consent AS word,
            NULL::uuid AS message_id, NULL::timestamptz AS at, NULL::uuid AS payload_id, NULL::text AS source
        FROM unnest(inbounds) i
        CROSS JOIN LATERAL (
            -- nothing has been appended to it yet: it began with this batch
            SELECT * FROM postback.message m WHERE m.id = i.candidate AND m.version = 0 OFFSET 0
        ) m
        WHERE (i.consent).id IS NOT NULL
        UNION ALL
        SELECT NULL, m.our_number, m.channel, m.contact, NULL, m.id, e.received_at, e.payload_id, e.source
        FROM unnest(events) WITH ORDINALITY AS e
        CROSS JOIN LATERAL (SELECT * FROM postback.message m WHERE m.id = targets[e.ordinality] OFFSET 0) m
        WHERE e.error_class = 'opted_out' AND m.contact IS NOT NULL
            AND (SELECT true FROM postback.event x WHERE x.message_id = m.id AND x.key = e.key) IS NULL
    LOOP
        IF found.id IS NOT NULL THEN
            said := found.word;
        ELSE
            said := NULL;
            said.id := postback.new_id();
            said.message_id := found.message_id;
            said.contact := found.contact;
            said.contact_hashes := '{}';
            said.groups := '[]';
            said.opts_out := true;
            said.only_when_out := false;
            said.at := found.at;
            said.source := 'carrier';
            said.certainty := 'certain';
            said.payload_id := found.payload_id;
            said.told_by := found.source;
        END IF;
        said.our_number := CASE WHEN found.our_number IS NULL
                OR postback.is_foreign(others, found.channel, found.our_number)
            THEN 'channel:' || found.channel ELSE found.our_number END;
        consents := consents || said;
    END LOOP;
    RETURN consents;
END $$;

-- Writes down what was said, stops what waits to be sent against it, and confirms what is to be confirmed.
-- Answers with the events that follow and their messages, for the caller to append, and with the ids of what
-- changed anything.
-- Order of locks: message, conversation, outbox, opt-out.
CREATE FUNCTION postback.heed(
    consents postback.consent_in[], OUT events postback.event_in[], OUT targets uuid[], OUT changed uuid[])
LANGUAGE plpgsql AS $$
DECLARE
    said postback.consent_in;
    event postback.event_in;
    waiting uuid[];
    stopped record;
    unheard boolean;
BEGIN
    events := '{}';
    targets := '{}';
    changed := '{}';
    SELECT array_agg(DISTINCT o.id) INTO waiting FROM unnest(consents) c
    CROSS JOIN LATERAL (
        SELECT o.id FROM postback.outbox o
        WHERE o.contact = ANY (postback.spellings(c.contact)) AND o.state IN ('queued', 'claimed')
            AND (o.scope IS NULL OR c.our_number = ANY (o.scope)) AND postback.ends(c, o.batch) OFFSET 0
    ) o;
    PERFORM FROM postback.message m WHERE m.id = ANY (waiting) ORDER BY m.id FOR NO KEY UPDATE;
    IF EXISTS (SELECT FROM unnest(consents) c WHERE (c.confirmation).id IS NOT NULL) THEN
        PERFORM postback.hold_conversations(consents);
    END IF;
    PERFORM FROM postback.outbox o WHERE o.id = ANY (waiting) ORDER BY o.id FOR UPDATE;

    FOR said IN SELECT * FROM unnest(consents) c ORDER BY postback.spelling(c.contact), c.at, c.id LOOP
        PERFORM postback.alone_with(said.contact);
        unheard := (said.confirmation).id IS NOT NULL AND postback.unheard(said);
        IF postback.enter(said) THEN
            changed := changed || said.id;
            IF said.message_id IS NOT NULL THEN
                event := postback.own_event(
                    said.message_id, (SELECT m.channel FROM postback.message m WHERE m.id = said.message_id),
                    said.told_by, said.at, NULL, 0);
                event.id := said.id;
                event.key := said.id;
                event.type := CASE WHEN said.opts_out THEN 'contact.opted_out' ELSE 'contact.opted_in' END;
                event.payload_id := said.payload_id;
                events := events || event;
                targets := targets || said.message_id;
                IF unheard THEN
                    event := postback.confirm(said);
                    events := events || event;
                    targets := targets || event.message_id;
                    waiting := waiting || event.message_id;
                END IF;
            END IF;
        END IF;
        CONTINUE WHEN waiting IS NULL;
        FOR stopped IN
            -- the list decides: what was said may be older than what has been said since
            DELETE FROM postback.outbox o
            WHERE o.id = ANY (waiting) AND o.state IN ('queued', 'claimed')
                AND o.contact = ANY (postback.spellings(said.contact))
                AND (o.scope IS NULL OR said.our_number = ANY (o.scope)) AND postback.ends(said, o.batch)
                AND said.opts_out = ((
                    SELECT true FROM postback.opt_out l
                    WHERE l.contact = ANY (postback.spellings(o.contact)) AND l.contact_hash = ''
                        AND (o.scope IS NULL OR l.our_number = ANY (o.scope))
                    LIMIT 1) IS NOT NULL)
            RETURNING o.id, o.channel
        LOOP
            events := events || CASE WHEN said.opts_out
                THEN postback.refusal(stopped.id, stopped.channel, said.told_by, said.at)
                ELSE postback.cancellation(stopped.id, stopped.channel, said.told_by, said.at) END;
            targets := targets || stopped.id;
        END LOOP;
    END LOOP;
END $$;

-- Until the commit nobody else writes down what this person said; there may be no row to lock.
CREATE FUNCTION postback.alone_with(the_contact text) RETURNS void
LANGUAGE sql SET jit = off AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('postback.opt_out ' || postback.spelling(the_contact), 0))
$$;

-- One entry of the ledger. Answers whether it changed who may be written to. What changes nothing is written
-- down only where the person said it.
CREATE FUNCTION postback.enter(said postback.consent_in) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    covers CONSTANT text[] := postback.covered(said);
    before text[];
    after text[];
    number text;
BEGIN
    before := postback.opted_out_from(said, covers);
    IF said.opts_out = (before IS NOT NULL) AND (said.only_when_out OR said.source NOT IN ('keyword', 'phrase')) THEN
        RETURN false;
    END IF;
    INSERT INTO postback.opt_out_entry (
        id, contact, contact_hash, our_number, opts_out, at, source, certainty, word, message_id, said_by, covers)
    VALUES (said.id, said.contact, '', said.our_number, said.opts_out, said.at, said.source, said.certainty,
            said.word, said.message_id, said.said_by, covers);
    FOREACH number IN ARRAY CASE WHEN said.opts_out THEN ARRAY[said.our_number] ELSE coalesce(before, '{}') END LOOP
        PERFORM postback.restate(said.contact, said.contact_hashes, number);
    END LOOP;
    after := postback.opted_out_from(said, covers);
    RETURN (before IS NULL) <> (after IS NULL);
END $$;

-- The numbers of ours that count as one with that which something was said to; NULL where all do.
CREATE FUNCTION postback.covered(said postback.consent_in) RETURNS text[]
LANGUAGE sql AS $$
    SELECT CASE WHEN said.groups IS NOT NULL THEN coalesce(
        (SELECT array_agg(n) FROM jsonb_array_elements(said.groups) g CROSS JOIN jsonb_array_elements_text(g) n
         WHERE g ? said.our_number),
        ARRAY[said.our_number]) END
$$;

-- A person's rows of the list, in clear under any spelling of the number, or erased. Read by the person and by
-- nothing else: one of our numbers has as many rows as people left it.
CREATE FUNCTION postback.listed(the_contact text, hashes bytea[]) RETURNS SETOF postback.opt_out
LANGUAGE sql STABLE AS $$
    SELECT l.* FROM postback.opt_out l
    WHERE l.contact = ANY (postback.spellings(the_contact)) AND l.contact_hash = ''
    UNION ALL
    SELECT l.* FROM postback.opt_out l WHERE l.contact_hash <> '' AND l.contact_hash = ANY (hashes)
    OFFSET 0
$$;

-- The same for the ledger.
CREATE FUNCTION postback.entered(the_contact text, hashes bytea[]) RETURNS SETOF postback.opt_out_entry
LANGUAGE sql STABLE AS $$
    SELECT e.* FROM postback.opt_out_entry e
    WHERE e.contact = ANY (postback.spellings(the_contact)) AND e.contact_hash = ''
    UNION ALL
    SELECT e.* FROM postback.opt_out_entry e WHERE e.contact_hash <> '' AND e.contact_hash = ANY (hashes)
    OFFSET 0
$$;

-- The numbers that are on the list for this person, of those that `said` is about; NULL for none.
CREATE FUNCTION postback.opted_out_from(said postback.consent_in, covers text[]) RETURNS text[]
LANGUAGE sql AS $$
    SELECT array_agg(l.our_number ORDER BY l.our_number) FROM postback.listed(said.contact, said.contact_hashes) l
    WHERE CASE WHEN said.opts_out THEN l.our_number = said.our_number
               ELSE covers IS NULL OR l.our_number = ANY (covers) END
$$;

-- The list anew, for one pair. A number that was erased and speaks again stands in clear again.
CREATE FUNCTION postback.restate(the_contact text, hashes bytea[], number text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    last_in timestamptz;
    first postback.opt_out_entry;
BEGIN
    SELECT max(e.at) INTO last_in FROM postback.entered(the_contact, hashes) e
    WHERE NOT e.opts_out AND (e.covers IS NULL OR number = ANY (e.covers));
    SELECT * INTO first FROM postback.entered(the_contact, hashes) e
    WHERE e.opts_out AND e.our_number = number AND (last_in IS NULL OR e.at >= last_in)
    ORDER BY e.at, e.id LIMIT 1;
    DELETE FROM postback.opt_out o WHERE o.id = ANY (ARRAY(
        SELECT l.id FROM postback.listed(the_contact, hashes) l WHERE l.our_number = number));
    IF first.id IS NOT NULL THEN
        INSERT INTO postback.opt_out (
            contact, our_number, contact_hash, id, since, source, certainty, word, message_id)
        VALUES (the_contact, number, '', first.id, first.at, first.source, first.certainty, first.word,
                first.message_id);
    END IF;
END $$;
