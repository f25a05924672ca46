#!lua flags=allow-oom
-- Puts a field in the place of another value, only while it still is what was read.
--
-- KEYS[1] key HASH  field -> value
-- ARGV[1] field
-- ARGV[2] before    as it was read
-- ARGV[3] after
-- Returns 1, or 0 when it is no longer what was read
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
