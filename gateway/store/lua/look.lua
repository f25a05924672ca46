#!lua flags=no-writes
-- What a worker must know to decide, in one round trip.
-- More than five named keys: it looks at everything once.
--
-- KEYS[1] due ZSET        ticket -> ms
-- KEYS[2] lease HASH      ticket -> token
-- KEYS[3] meta HASH       last_put_ms, epoch
-- KEYS[4] pause HASH
-- KEYS[5] suspects ZSET
-- KEYS[6] lookups ZSET
-- KEYS[7] deletes ZSET
-- KEYS[8] unread ZSET
-- KEYS[9] dead ZSET
-- KEYS[10] quarantine ZSET
-- ARGV[1] now_us (µs)     empty: Redis' time
-- ARGV[2] exact (1|0)     1: tell lapsed claims from live ones, at a cost that grows with the claims
-- Returns now (ms), due, oldest due (ms or nil), last put (ms or nil), pending, claims, lapsed claims, cards of KEYS[5]
--   to KEYS[10], the pause as field, value in turn, epoch (or nil); numbers that may be large travel as text
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
local text = string.format('%.0f', now)
local oldest = redis.call('ZRANGE', KEYS[1], '-inf', text, 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
local meta = redis.call('HMGET', KEYS[3], 'last_put_ms', 'epoch')
local held, lapsed = ARGV[2] == '1' and redis.call('HKEYS', KEYS[2]) or {}, 0
for i = 1, #held do
  local score = redis.call('ZSCORE', KEYS[1], held[i])
  if not score or tonumber(score) <= now then lapsed = lapsed + 1 end
end
local due, pending = redis.call('ZCOUNT', KEYS[1], '-inf', text), redis.call('ZCARD', KEYS[1])
local view = {text, due, oldest[2] or false, meta[1], pending, redis.call('HLEN', KEYS[2]), lapsed}
for i = 5, 10 do view[#view + 1] = redis.call('ZCARD', KEYS[i]) end
view[#view + 1] = redis.call('HGETALL', KEYS[4])
view[#view + 1] = meta[2]
return view
