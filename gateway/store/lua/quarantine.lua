#!lua
-- Keeps an authentic delivery that cannot be read, whole. A repeat of the same id changes nothing.
--
-- KEYS[1] quarantine ZSET      id -> ms
-- KEYS[2] quarantine:row HASH  id -> JSON
-- KEYS[3] quarantine:body HASH id -> raw bytes
-- KEYS[4] meta HASH            quarantine_bytes
-- ARGV[1] now_us (µs)          empty: Redis' time
-- ARGV[2] id
-- ARGV[3] row (JSON)
-- ARGV[4] body (bytes)
-- ARGV[5] max_bytes (bytes)    of all rows and bodies
-- Returns 1 (kept), 0 (known already) or "full:quarantine"
local t = redis.call('TIME')
local now = string.format('%.0f', math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000))
if redis.call('ZSCORE', KEYS[1], ARGV[2]) then return 0 end
local bytes = (redis.call('HGET', KEYS[4], 'quarantine_bytes') or 0) + #ARGV[3] + #ARGV[4]
if bytes > tonumber(ARGV[5]) then return 'full:quarantine' end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[4])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('ZADD', KEYS[1], now, ARGV[2])
redis.call('HSET', KEYS[4], 'quarantine_bytes', string.format('%.0f', bytes))
return 1
