#!lua flags=allow-oom
-- A destination's calls in flight: fenced leases. A slot that lapsed is lost to its holder.
--
-- KEYS[1] slots ZSET    token -> ms
-- ARGV[1] now_us (µs)   empty: Redis' time
-- ARGV[2] move          take, extend or give
-- ARGV[3] token
-- ARGV[4] max_in_flight (slots)
-- ARGV[5] lease_ms (ms)
-- Returns 1 (done) or 0 (none free, or no longer ours)
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if ARGV[2] == 'give' then return redis.call('ZREM', KEYS[1], ARGV[3]) end
local ours = redis.call('ZSCORE', KEYS[1], ARGV[3])
local free = ARGV[2] == 'take' and redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[4])
if not ours and not free then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[5]), ARGV[3])
return 1
