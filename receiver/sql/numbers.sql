-- Numbers that are written in more than one way, as `receiver.phone` has it: mobile numbers of Mexico (+52 1 or
-- +52), Argentina (+54 9, +54, or 15 behind the area code) and Brazil (with a ninth digit or without). The number
-- of each message stays as it came; whoever asks whether two of them are one person's asks here.

-- The shortest way in which a number is written; any other number as it is.
CREATE FUNCTION postback.spelling(number text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE left(number, 3)
        WHEN '+52' THEN regexp_replace(number, '^\+521?([2-9]\d{9})$', '+52\1')
        WHEN '+54' THEN regexp_replace(
            regexp_replace(
                number, '^\+54(?:(11)15(\d{8})|([23]\d\d)15(\d{7})|([23]\d{3})15(\d{6}))$', '+54\1\2\3\4\5\6'),
            '^\+549?((?:11|[23]\d)\d{8})$', '+54\1')
        WHEN '+55' THEN regexp_replace(number, '^\+55([1-9]\d)9?([6-9]\d{7})$', '+55\1\2')
        ELSE number END
$$;

-- All ways in which a number is written, by the shortest of them.
CREATE FUNCTION postback.respelled(shortest text) RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT array_remove(CASE
        WHEN shortest ~ '^\+52[2-9]\d{9}$' THEN ARRAY[shortest, '+521' || substr(shortest, 4)]
        WHEN shortest ~ '^\+55[1-9]\d[6-9]\d{7}$' THEN ARRAY[shortest, left(shortest, 5) || '9' || substr(shortest, 6)]
        WHEN shortest ~ '^\+54(?:11|[23]\d)\d{8}$' THEN ARRAY[
            shortest, '+549' || substr(shortest, 4),
            CASE WHEN shortest LIKE '+5411%' THEN '+541115' || substr(shortest, 6) END,
            CASE WHEN shortest NOT LIKE '+5411%' THEN left(shortest, 6) || '15' || substr(shortest, 7) END,
            CASE WHEN shortest NOT LIKE '+5411%' THEN left(shortest, 7) || '15' || substr(shortest, 8) END]
        ELSE ARRAY[shortest] END, NULL)
$$;

-- All ways in which a number is written; nearly always there is one.
CREATE FUNCTION postback.spellings(number text) RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN left(number, 3) IN ('+52', '+54', '+55')
        THEN postback.respelled(postback.spelling(number)) ELSE ARRAY[number] END
$$;

-- Whether a number of ours is none of a channel's: `others` has, by channels, the numbers that only other channels
-- list, each as `receiver.our_numbers.canonical` writes it.
CREATE FUNCTION postback.is_foreign(others jsonb, the_channel text, number text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(others -> the_channel ? lower(postback.spelling(number)), false)
$$;
