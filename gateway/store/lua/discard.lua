#!lua flags=allow-oom
-- Removes dead letters or quarantined deliveries for good.
--
-- KEYS[1] index ZSET  id -> ms
-- KEYS[2] row HASH    id -> JSON
-- KEYS[3] blob HASH   id -> frames or body
-- KEYS[4] meta HASH   quarantine_bytes
-- ARGV[1] field       of meta that counts the bytes; empty: none does
-- ARGV[2..] ids, at most 1,000
-- Returns how many there were
local bytes = 0
for i = 2, #ARGV do
  bytes = bytes + redis.call('HSTRLEN', KEYS[2], ARGV[i]) + redis.call('HSTRLEN', KEYS[3], ARGV[i])
end
if ARGV[1] ~= '' then redis.call('HINCRBY', KEYS[4], ARGV[1], string.format('%.0f', 0 - bytes)) end
redis.call('HDEL', KEYS[2], unpack(ARGV, 2))
redis.call('HDEL', KEYS[3], unpack(ARGV, 2))
return redis.call('ZREM', KEYS[1], unpack(ARGV, 2))
