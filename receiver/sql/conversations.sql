-- A message of a conversation, which is found by our number and by `thread`, who it is with. `told` is false for
-- a message that nobody was sent.
CREATE TYPE postback.said_in AS (
    conversation uuid, our_number text, contact text, thread text, channel text, message_id uuid,
    at timestamptz, inbound boolean, told boolean
);

-- The last used conversation of a number of ours with somebody of these spellings.
CREATE FUNCTION postback.known_thread(the_number text, spellings text[]) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT c.thread FROM postback.conversation c
    WHERE c.our_number = the_number AND c.thread = ANY (spellings)
    ORDER BY c.last_message_at DESC, c.id DESC LIMIT 1
$$;

-- Who a conversation of our number is with, of someone who writes or is written to: a person whose number has
-- several spellings goes on in the conversation that was last used.
CREATE FUNCTION postback.thread(the_number text, the_thread text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN cardinality(postback.spellings(the_thread)) = 1 THEN the_thread
        ELSE coalesce(
            postback.known_thread(the_number, postback.spellings(the_thread)), postback.spelling(the_thread)) END
$$;

-- Takes messages into their conversations; the first begins one, with the id that it brings. Answers with the
-- same messages and the ids of the conversations that they are in.
CREATE FUNCTION postback.converse(INOUT said postback.said_in[])
LANGUAGE plpgsql AS $$
BEGIN
    WITH taken AS (
        INSERT INTO postback.conversation AS c (
            id, our_number, contact, thread, participants, channels, last_message_id, last_message_at,
            last_inbound_at, waiting_since, unread_count, message_count, metadata_)
        SELECT (array_agg(s.conversation ORDER BY s.at, s.message_id))[1], s.our_number,
            (array_agg(s.contact ORDER BY s.at, s.message_id))[1], s.thread,
            CASE WHEN strpos(s.thread, ',') = 0 THEN '{}' ELSE string_to_array(s.thread, ',') END,
            array_agg(DISTINCT s.channel), (array_agg(s.message_id ORDER BY s.at DESC, s.message_id DESC))[1],
            max(s.at), max(s.at) FILTER (WHERE s.inbound),
            min(s.at) FILTER (WHERE s.inbound), count(*) FILTER (WHERE s.inbound), count(*), '{}'
        FROM unnest(said) s
        GROUP BY s.our_number, s.thread
        ORDER BY s.our_number, s.thread
        ON CONFLICT (our_number, thread) DO UPDATE SET
            channels = CASE WHEN c.channels @> excluded.channels THEN c.channels
                ELSE ARRAY(SELECT DISTINCT x FROM unnest(c.channels || excluded.channels) x ORDER BY x) END,
            last_message_id = CASE WHEN excluded.last_message_at >= c.last_message_at
                THEN excluded.last_message_id ELSE c.last_message_id END,
            last_message_at = greatest(c.last_message_at, excluded.last_message_at),
            last_inbound_at = greatest(c.last_inbound_at, excluded.last_inbound_at),
            -- what waited on disk while Postgres was away may be older than an answer that went out meanwhile
            waiting_since = CASE WHEN c.waiting_since IS NOT NULL OR excluded.waiting_since >= c.last_message_at
                THEN least(c.waiting_since, excluded.waiting_since) END,
            unread_count = c.unread_count + excluded.unread_count,
            message_count = c.message_count + excluded.message_count
        RETURNING c.id, c.our_number, c.thread
    )
    SELECT array_agg(ROW(t.id, s.our_number, s.contact, s.thread, s.channel, s.message_id, s.at, s.inbound, s.told
                     )::postback.said_in) INTO said
    FROM unnest(said) s JOIN taken t ON t.our_number = s.our_number AND t.thread = s.thread;
END $$;

-- Marks a conversation as read, up to a message of it where one is named: what stands after that one stays
-- unread. Answers whether there is that message in it. Whoever takes new messages in holds the same lock, so
-- each of them is counted here, or counts afterwards by itself. Nothing becomes unread by this.
CREATE FUNCTION postback.mark_read(the_conversation uuid, up_to uuid) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '500ms' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    unread CONSTANT integer := (
        SELECT c.unread_count FROM postback.conversation c WHERE c.id = the_conversation FOR UPDATE);
BEGIN
    IF up_to IS NOT NULL AND NOT EXISTS (
        SELECT FROM postback.message m WHERE m.id = up_to AND m.conversation_id = the_conversation
    ) THEN
        RETURN false;
    END IF;
    UPDATE postback.conversation c SET unread_count = (
        SELECT count(*) FROM (
            SELECT FROM postback.message m
            WHERE m.conversation_id = the_conversation AND m.id > up_to AND m.direction = 'inbound' LIMIT unread
        ) later)
    WHERE c.id = the_conversation;
    RETURN true;
END $$;

-- Nobody waits any more in the conversations that something was sent in; the caller holds their locks.
CREATE FUNCTION postback.answer(said postback.said_in[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    answered CONSTANT uuid[] := ARRAY(SELECT DISTINCT s.conversation FROM unnest(said) s WHERE s.told);
BEGIN
    UPDATE postback.conversation c SET waiting_since = NULL
    WHERE c.id = ANY (answered) AND c.waiting_since IS NOT NULL;
END $$;

-- Sends whose number the carrier has chosen, and names in `events`, get it, and the conversation that belongs to it.
-- A send that goes out of a conversation stays in that; a number that is foreign to the channel is none of the
-- message's, and one that was redacted stays as it is. The caller holds the locks of the messages.
CREATE FUNCTION postback.take_numbers(events postback.event_in[], targets uuid[], others jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    named record;
    said postback.said_in[];
BEGIN
    FOR named IN
        SELECT DISTINCT ON (m.id) m.id, e.our_number, m.contact, m.channel, m.conversation_id, e.received_at
        FROM unnest(events) WITH ORDINALITY AS e
        CROSS JOIN LATERAL (
            SELECT * FROM postback.message m
            WHERE m.id = targets[e.ordinality] AND m.origin = 'api' AND m.our_number IS NULL AND m.contact IS NOT NULL
            OFFSET 0
        ) m
        WHERE e.our_number IS NOT NULL AND NOT e.inbound
            AND NOT postback.is_foreign(others, e.channel, e.our_number)
            AND (SELECT b.redacted_at FROM postback.message_body b WHERE b.message_id = m.id) IS NULL
        ORDER BY m.id, e.ordinality
    LOOP
        UPDATE postback.message m SET our_number = named.our_number WHERE m.id = named.id;
        IF named.conversation_id IS NULL THEN
            said := said || ROW(postback.new_id(), named.our_number, named.contact,
                                postback.thread(named.our_number, named.contact), named.channel, named.id,
                                named.received_at, false, true)::postback.said_in;
        END IF;
    END LOOP;
    IF said IS NULL THEN
        RETURN;
    END IF;
    said := postback.converse(said);
    PERFORM postback.answer(said);
    UPDATE postback.message m SET conversation_id = s.conversation
    FROM unnest(said) s WHERE m.id = s.message_id AND m.id = ANY (ARRAY(SELECT x.message_id FROM unnest(said) x));
END $$;
