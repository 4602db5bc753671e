-- News of stored messages. A state only rises (pending, ready, failed), so order and repetition of the news
-- cannot matter; news that beats the answer to our own call waits under the carrier's ids, that of the template or
-- that of the call that stored it.
CREATE FUNCTION postback.hear_templates(news postback.template_in[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    ladder CONSTANT text[] := ARRAY['pending', 'ready', 'failed'];
    word postback.template_in;
    own uuid;
    early record;
BEGIN
    FOR word IN SELECT * FROM unnest(news) ORDER BY channel, provider_template_id, provider_message_id LOOP
        SELECT t.id INTO own FROM postback.template t
        LEFT JOIN postback.submission s ON s.message_id = t.id AND s.id = word.submission_id
        WHERE t.channel = word.channel AND (t.id = word.template_id OR s.id IS NOT NULL);
        own := coalesce(own, postback.named_template(word));
        IF own IS NULL THEN
            INSERT INTO postback.template (id, origin, channel, provider, content, provider_template_id,
                                           provider_message_id, state, updated_at)
            VALUES (word.candidate, 'external', word.channel, word.provider, '{}', word.provider_template_id,
                    word.provider_message_id, 'pending', clock_timestamp())
            ON CONFLICT DO NOTHING RETURNING id INTO own;
            -- who came first meanwhile is seen by the next statement
            own := coalesce(own, postback.named_template(word));
        END IF;
        WITH gone AS (
            DELETE FROM postback.template t WHERE t.channel = word.channel AND t.origin = 'external' AND t.id <> own
                AND (t.provider_template_id = word.provider_template_id
                     OR t.provider_message_id = word.provider_message_id)
            RETURNING t.*
        )
        SELECT max(array_position(ladder, g.state)) AS state, min(g.error_class) AS error_class,
            min(g.error_code) AS error_code, min(g.error_message) AS error_message,
            min(g.provider_template_id) AS provider_template_id
        INTO early FROM gone g;
        UPDATE postback.template t SET
            provider_template_id = coalesce(t.provider_template_id, word.provider_template_id, early.provider_template_id),
            provider_message_id = coalesce(t.provider_message_id, word.provider_message_id),
            state = ladder[greatest(array_position(ladder, t.state), array_position(ladder, word.state), early.state)],
            error_class = coalesce(t.error_class, word.error_class, early.error_class),
            error_code = coalesce(t.error_code, word.error_code, early.error_code),
            error_message = coalesce(t.error_message, word.error_message, early.error_message),
            updated_at = clock_timestamp()
        WHERE t.id = own;
    END LOOP;
END $$;

-- The template that `word` names by one of the carrier's ids; of two, that of the API.
CREATE FUNCTION postback.named_template(word postback.template_in) RETURNS uuid
LANGUAGE sql AS $$
    SELECT t.id FROM postback.template t
    WHERE t.channel = word.channel
        AND (t.provider_template_id = word.provider_template_id OR t.provider_message_id = word.provider_message_id)
    ORDER BY t.origin, t.id LIMIT 1
$$;
