#!lua flags=allow-oom
-- Takes tickets out that have nothing unsent (their value is missing), so that they are not claimed for ever. Looks
-- again at each: a put may have come between.
--
-- KEYS[1] due ZSET       ticket -> ms
-- KEYS[2] lease HASH     ticket -> token
-- KEYS[3] doubt HASH     ticket -> 1 | 2
-- KEYS[4] suspects ZSET  ticket -> group
-- KEYS[5..] change STRING, one per ticket
-- ARGV[1] prefix (bytes) of a change key before the ticket
-- Returns how many were taken out
local count = 0
for i = 5, #KEYS do
  local ticket = KEYS[i]:sub(ARGV[1] + 1)
  if redis.call('STRLEN', KEYS[i]) == 0 then
    redis.call('ZREM', KEYS[1], ticket)
    redis.call('HDEL', KEYS[2], ticket)
    redis.call('HDEL', KEYS[3], ticket)
    redis.call('ZREM', KEYS[4], ticket)
    count = count + 1
  end
end
return count
