#!lua flags=allow-oom
-- Moves dead letters back: their frames join the ticket's value, due now unless somebody holds the ticket. The frames
-- go behind those that stand there, because a holder cuts what it has read from the front; the fold knows no order.
--
-- KEYS[1] due ZSET        ticket -> ms
-- KEYS[2] lease HASH      ticket -> token
-- KEYS[3] dead ZSET       ticket -> ms
-- KEYS[4] dead:row HASH   ticket -> JSON
-- KEYS[5] dead:frame HASH ticket -> frames
-- KEYS[6..] change STRING, one per ticket
-- ARGV[1] now_us (µs)     empty: Redis' time
-- ARGV[2] prefix (bytes)  of a change key before the ticket
-- Returns how many were moved
local t = redis.call('TIME')
local now = string.format('%.0f', math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000))
local count = 0
for i = 6, #KEYS do
  local ticket = KEYS[i]:sub(ARGV[2] + 1)
  local frames = redis.call('HGET', KEYS[5], ticket)
  if frames then
    redis.call('APPEND', KEYS[i], frames)
    redis.call('ZADD', KEYS[1], 'NX', now, ticket)
    if not redis.call('HGET', KEYS[2], ticket) then redis.call('ZADD', KEYS[1], 'LT', now, ticket) end
    redis.call('ZREM', KEYS[3], ticket)
    redis.call('HDEL', KEYS[4], ticket)
    redis.call('HDEL', KEYS[5], ticket)
    count = count + 1
  end
end
return count
