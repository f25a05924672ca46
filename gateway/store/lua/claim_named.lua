#!lua flags=allow-oom
-- Claims named tickets (suspects, deletes, look-ups): those that have something unsent and that nobody else holds.
-- A snooze does not protect a ticket from being asked for by name, but one that waits for its second send is left until
-- no older call can land any more.
--
-- KEYS[1] due ZSET       ticket -> ms
-- KEYS[2] lease HASH     ticket -> token
-- KEYS[3] doubt HASH     ticket -> 1 | 2
-- KEYS[4] lane ZSET      of tickets that need not wait (any more): suspects, or the deletes
-- ARGV[1] now_us (µs)    empty: Redis' time
-- ARGV[2] token          the new holder's
-- ARGV[3] lease_ms (ms)
-- ARGV[4..] tickets, at most 1,000
-- Returns {tickets, doubts} of those claimed; a doubt is "1", "2" or nil
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
local ends = string.format('%.0f', now + ARGV[3])
local scores = redis.call('ZMSCORE', KEYS[1], unpack(ARGV, 4))
local tokens = redis.call('HMGET', KEYS[2], unpack(ARGV, 4))
local doubts = redis.call('HMGET', KEYS[3], unpack(ARGV, 4))
local groups = redis.call('ZMSCORE', KEYS[4], unpack(ARGV, 4))
local taken = {}
for i, score in ipairs(scores) do
  local ticket, token = ARGV[i + 3], tokens[i]
  local lapsed = score and tonumber(score) <= now
  local early = not lapsed and not token and doubts[i] == '2' and not groups[i]
  if score and not early and (not token or lapsed or token == ARGV[2]) then
    if token and token ~= ARGV[2] then redis.call('HSET', KEYS[3], ticket, '1') end
    redis.call('HSET', KEYS[2], ticket, ARGV[2])
    redis.call('ZADD', KEYS[1], ends, ticket)
    taken[#taken + 1] = ticket
  end
end
if #taken == 0 then return {{}, {}} end
return {taken, redis.call('HMGET', KEYS[3], unpack(taken))}
