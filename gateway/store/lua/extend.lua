#!lua flags=allow-oom
-- Moves the end of claims that are still ours, lapsed or not: nobody has taken them while our token stands.
--
-- KEYS[1] due ZSET    ticket -> ms
-- KEYS[2] lease HASH  ticket -> token
-- ARGV[1] now_us (µs) empty: Redis' time
-- ARGV[2] token       the holder's
-- ARGV[3] lease_ms (ms) from now
-- ARGV[4..] tickets, at most 1,000
-- Returns the tickets that are no longer ours
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
local ends = string.format('%.0f', now + ARGV[3])
local tokens = redis.call('HMGET', KEYS[2], unpack(ARGV, 4))
local scores, lost = {}, {}
for i = 1, #tokens do
  local ticket = ARGV[i + 3]
  if tokens[i] == ARGV[2] then
    scores[#scores + 1], scores[#scores + 2] = ends, ticket
  else
    lost[#lost + 1] = ticket
  end
end
if #scores > 0 then redis.call('ZADD', KEYS[1], 'XX', unpack(scores)) end
return lost
