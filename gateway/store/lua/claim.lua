#!lua flags=allow-oom
-- Claims due tickets, oldest first. A token found is that of a holder that neither acked nor released: the ticket is in
-- doubt. Suspects are not given out here; their scores move on, so that they do not stand in the way.
--
-- KEYS[1] due ZSET       ticket -> ms
-- KEYS[2] lease HASH     ticket -> token
-- KEYS[3] doubt HASH     ticket -> 1 | 2
-- KEYS[4] suspects ZSET  ticket -> group
-- ARGV[1] now_us (µs)    empty: Redis' time
-- ARGV[2] limit (tickets) at most 1,000
-- ARGV[3] token          the new holder's
-- ARGV[4] lease_ms (ms)
-- ARGV[5] aside_ms (ms)  how far a suspect moves on
-- Returns {tickets, doubts}; a doubt is "1", "2" or nil; then how many due tickets were looked at
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
local ends, aside = string.format('%.0f', now + ARGV[4]), string.format('%.0f', now + ARGV[5])
local tickets = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%.0f', now), 'BYSCORE', 'LIMIT', 0, ARGV[2])
if #tickets == 0 then return {{}, {}, 0} end
local tokens = redis.call('HMGET', KEYS[2], unpack(tickets))
local groups = redis.call('ZMSCORE', KEYS[4], unpack(tickets))
redis.call('HLEN', KEYS[3])
local taken, leases, scores, doubts, freed = {}, {}, {}, {}, {}
for i, ticket in ipairs(tickets) do
  if tokens[i] then doubts[#doubts + 1], doubts[#doubts + 2] = ticket, '1' end
  scores[#scores + 1], scores[#scores + 2] = groups[i] and aside or ends, ticket
  if groups[i] then
    freed[#freed + 1] = ticket
  else
    taken[#taken + 1] = ticket
    leases[#leases + 1], leases[#leases + 2] = ticket, ARGV[3]
  end
end
if #doubts > 0 then redis.call('HSET', KEYS[3], unpack(doubts)) end
if #freed > 0 then redis.call('HDEL', KEYS[2], unpack(freed)) end
redis.call('ZADD', KEYS[1], unpack(scores))
if #taken == 0 then return {{}, {}, #tickets} end
redis.call('HSET', KEYS[2], unpack(leases))
return {taken, redis.call('HMGET', KEYS[3], unpack(taken)), #tickets}
