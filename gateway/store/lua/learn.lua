#!lua flags=allow-oom
-- Keeps what the last calls taught. Also in a full Redis, because what drains it must know when to wait.
--
-- KEYS[1] health HASH  field -> value
-- ARGV[1..] field, value in turn
-- Returns how many fields are new
return redis.call('HSET', KEYS[1], unpack(ARGV, 1))
