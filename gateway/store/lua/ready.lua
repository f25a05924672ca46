#!lua flags=allow-oom
-- Ends the wait of tickets: out of their lane (or the suspects), due now unless somebody holds them or they wait for
-- their second send.
--
-- KEYS[1] lane ZSET   lookups, deletes, unread or suspects
-- KEYS[2] due ZSET    ticket -> ms
-- KEYS[3] lease HASH  ticket -> token
-- KEYS[4] doubt HASH  ticket -> 1 | 2
-- ARGV[1] now_us (µs) empty: Redis' time
-- ARGV[2..] tickets, at most 1,000
-- Returns how many became due by this
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
local tokens = redis.call('HMGET', KEYS[3], unpack(ARGV, 2))
local scores = redis.call('ZMSCORE', KEYS[2], unpack(ARGV, 2))
local doubts = redis.call('HMGET', KEYS[4], unpack(ARGV, 2))
redis.call('ZREM', KEYS[1], unpack(ARGV, 2))
local count = 0
for i = 1, #scores do
  if scores[i] and not tokens[i] and doubts[i] ~= '2' and tonumber(scores[i]) > now then
    count = count + redis.call('ZADD', KEYS[2], 'CH', string.format('%.0f', now), ARGV[i + 1])
  end
end
return count
