#!lua flags=allow-oom
-- Tells whether Redis still has the memory it had: the epoch lives as long as the data. When a caller knew another one,
-- the calls of the last minute are forgotten, so the window counts as full for a minute.
--
-- KEYS[1] meta HASH   epoch, full_until_ms
-- ARGV[1] now_us (µs) empty: Redis' time
-- ARGV[2] known       the epoch the caller knows; empty: none
-- ARGV[3] fresh       the epoch to write where there is none
-- Returns {epoch, 1 when the known one is lost}
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[3])
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if ARGV[2] == '' or ARGV[2] == epoch then return {epoch, 0} end
redis.call('HSET', KEYS[1], 'full_until_ms', string.format('%.0f', now + 61000))
return {epoch, 1}
