#!lua flags=allow-oom
-- Pauses a destination for all workers. Only ever extends: a shorter pause leaves the longer one.
--
-- KEYS[1] pause HASH  until_ms, reason
-- ARGV[1] now_us (µs) empty: Redis' time
-- ARGV[2] wait (ms)   from now
-- ARGV[3] reason
-- Returns when the pause ends (ms), as text
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
local ends = now + ARGV[2]
local known = tonumber(redis.call('HGET', KEYS[1], 'until_ms') or 0)
if known >= ends then return string.format('%.0f', known) end
redis.call('HSET', KEYS[1], 'until_ms', string.format('%.0f', ends), 'reason', ARGV[3])
return string.format('%.0f', ends)
