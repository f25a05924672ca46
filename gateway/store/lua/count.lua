#!lua flags=allow-oom
-- Adds to counters. Also in a full Redis, because what drains it counts as well.
--
-- KEYS[1] counters HASH  name -> number
-- ARGV[1..] name, increment in turn
-- Returns how many were added to
for i = 1, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
return #ARGV / 2
