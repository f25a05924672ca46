#!lua flags=allow-oom
-- Moves tickets to groups of suspects, or makes them suspects; those with nothing unsent are none (any more).
--
-- KEYS[1] suspects ZSET  ticket -> group
-- KEYS[2] due ZSET       ticket -> ms
-- ARGV[1..] group, ticket in turn, at most 1,000 pairs
-- Returns how many are suspects
local count = 0
for i = 1, #ARGV, 2 do
  if redis.call('ZSCORE', KEYS[2], ARGV[i + 1]) then
    redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i + 1])
    count = count + 1
  else
    redis.call('ZREM', KEYS[1], ARGV[i + 1])
  end
end
return count
