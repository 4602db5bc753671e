-- Two records turn out to be one message: `keeper` takes over everything that `stranger`, an external
-- message, has heard. The caller holds both rows' locks, taken in the order of their ids.
CREATE FUNCTION postback.adopt(keeper uuid, stranger uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE postback.reference SET message_id = keeper WHERE message_id = stranger;
    -- a report that reached both records is one report
    DELETE FROM postback.event e USING postback.event kept
    WHERE e.message_id = stranger AND kept.message_id = keeper AND kept.key = e.key;
    UPDATE postback.event e SET message_id = keeper, version = e.version + m.version
    FROM postback.message m WHERE e.message_id = stranger AND m.id = keeper;
    UPDATE postback.message m SET seen = m.seen | x.seen, version = m.version + x.version,
        updated_at = greatest(m.updated_at, x.updated_at)
    FROM postback.message x WHERE m.id = keeper AND x.id = stranger;
    IF EXISTS (SELECT FROM postback.attention WHERE message_id IN (keeper, stranger)) THEN
        PERFORM postback.attend(
            ROW(keeper, NULL, NULL, NULL, NULL)::postback.failure_in || ARRAY(
                SELECT ROW(keeper, a.error_class, a.error_specificity, a.error_code, a.error_message)::postback.failure_in
                FROM postback.attention a WHERE a.message_id = stranger));
    END IF;
    DELETE FROM postback.attention WHERE message_id = stranger;
    DELETE FROM postback.message WHERE id = stranger;
    INSERT INTO postback.adopted (id, message_id) VALUES (stranger, keeper);
END $$;
