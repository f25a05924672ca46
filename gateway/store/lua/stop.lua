#!lua flags=allow-oom
-- Stops a destination until it is resumed: only probes go through, and the next one not before its time.
--
-- KEYS[1] pause HASH     stopped, detail, token_hash, probe_at_ms
-- ARGV[1] now_us (µs)    empty: Redis' time
-- ARGV[2] reason
-- ARGV[3] detail         Planhat's words
-- ARGV[4] token_hash     of the token that was refused
-- ARGV[5] probe_in (ms)  from now
-- Returns when the next probe may go (ms), as text
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
local at = string.format('%.0f', now + ARGV[5])
redis.call('HSET', KEYS[1], 'stopped', ARGV[2], 'detail', ARGV[3], 'token_hash', ARGV[4], 'probe_at_ms', at)
return at
