-- News of stored messages. A state only rises (pending, ready, failed), so order and repetition of the news
-- cannot matter; news that beats the answer to our own call waits under the carrier's id.
CREATE FUNCTION postback.hear_templates(news postback.template_in[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    ladder CONSTANT text[] := ARRAY['pending', 'ready', 'failed'];
    word postback.template_in;
    own uuid;
    early postback.template;
BEGIN
    FOR word IN SELECT * FROM unnest(news) ORDER BY channel, provider_template_id LOOP
        SELECT t.id INTO own FROM postback.template t
        LEFT JOIN postback.submission s ON s.message_id = t.id AND s.id = word.submission_id
        WHERE t.channel = word.channel AND (t.id = word.template_id OR s.id IS NOT NULL);
        IF own IS NOT NULL AND word.provider_template_id IS NOT NULL THEN
            DELETE FROM postback.template t WHERE t.channel = word.channel AND t.origin = 'external'
                AND t.provider_template_id = word.provider_template_id AND t.id <> own
            RETURNING * INTO early;
        END IF;
        IF own IS NULL THEN
            INSERT INTO postback.template (id, origin, channel, provider, content, provider_template_id, state, updated_at)
            VALUES (word.candidate, 'external', word.channel, word.provider, '{}', word.provider_template_id,
                    'pending', clock_timestamp())
            ON CONFLICT (channel, provider_template_id) DO UPDATE SET updated_at = excluded.updated_at
            RETURNING id INTO own;
        END IF;
        UPDATE postback.template t SET
            provider_template_id = coalesce(t.provider_template_id, word.provider_template_id),
            state = ladder[greatest(array_position(ladder, t.state), array_position(ladder, word.state),
                                    array_position(ladder, early.state))],
            error_class = coalesce(t.error_class, word.error_class, early.error_class),
            error_code = coalesce(t.error_code, word.error_code, early.error_code),
            error_message = coalesce(t.error_message, word.error_message, early.error_message),
            updated_at = clock_timestamp()
        WHERE t.id = own;
    END LOOP;
END $$;
