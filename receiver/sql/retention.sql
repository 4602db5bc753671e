-- What is past its time, in batches. Rows that name a message (its references, its place in `attention`, ...)
-- go after it, each table by itself: a report that still finds a reference of a message which is gone clears
-- that away itself (resolve.sql) and begins a new message.

-- Up to `most` messages with ids below `before`, with their timelines; answers with how many. One that a
-- report is changing just now has its turn another time.
CREATE FUNCTION postback.forget_messages(before uuid, most integer) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = '100ms' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    gone uuid[];
BEGIN
    SELECT array_agg(id) INTO gone FROM (
        SELECT m.id FROM postback.message m WHERE m.id < before ORDER BY m.id LIMIT most FOR UPDATE SKIP LOCKED
    ) m;
    DELETE FROM postback.event WHERE message_id = ANY (gone);
    DELETE FROM postback.message WHERE id = ANY (gone);
    RETURN coalesce(cardinality(gone), 0);
END $$;

-- Of the `most` conversations that follow `after` and are older than `before`: those without a message.
-- Answers with the last one looked at, NULL at the end, and how many went.
CREATE FUNCTION postback.forget_conversations(
    after uuid, before uuid, most integer, OUT last uuid, OUT gone integer)
LANGUAGE plpgsql SET lock_timeout = '50ms' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    looked uuid[];
    silent uuid[];
BEGIN
    looked := ARRAY(SELECT c.id FROM postback.conversation c WHERE c.id > after AND c.id < before ORDER BY c.id LIMIT most);
    last := looked[cardinality(looked)];
    silent := ARRAY(SELECT c FROM unnest(looked) c WHERE NOT EXISTS (
        SELECT FROM postback.message m WHERE m.conversation_id = c));
    gone := 0;
    IF cardinality(silent) > 0 THEN
        -- Whoever begins a message reads its conversation first and writes the message after: with nobody
        -- between the two, those that are still silent stay so.
        LOCK TABLE postback.conversation IN ACCESS EXCLUSIVE MODE;
        DELETE FROM postback.conversation c WHERE c.id = ANY (silent) AND NOT EXISTS (
            SELECT FROM postback.message m WHERE m.conversation_id = c.id);
        GET DIAGNOSTICS gone = ROW_COUNT;
    END IF;
END $$;

-- The same for files: those of no message, and with which no template was made. Of a template from before it
-- kept "file", the address of the file tells.
CREATE FUNCTION postback.forget_files(after uuid, before uuid, most integer, OUT last uuid, OUT gone integer)
LANGUAGE plpgsql SET lock_timeout = '100ms' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    looked uuid[];
BEGIN
    looked := ARRAY(SELECT f.id FROM postback.file f WHERE f.id > after AND f.id < before ORDER BY f.id LIMIT most);
    last := looked[cardinality(looked)];
    DELETE FROM postback.file f WHERE f.id = ANY (looked)
        AND NOT EXISTS (SELECT FROM postback.media m WHERE m.id = f.id)
        AND NOT EXISTS (SELECT FROM postback.template t WHERE jsonb_path_exists(t.content, (
            '$.media[*] ? (@.file == "' || f.id
            || '" || (!exists(@.file) && @.url like_regex "/media/' || f.id || '/"))')::jsonpath));
    GET DIAGNOSTICS gone = ROW_COUNT;
END $$;

-- The number of the oldest event that is still there; the next one to come where there is none. Whoever has
-- read less far than to the one before it has missed some.
CREATE FUNCTION postback.oldest_seq() RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT min(seq) FROM postback.event), (SELECT seq + 1 FROM postback.feed_head))
$$;
